//! Where an archive lies: a directory (`file://`), or an object store (`s3://`, `gs://`, `az://`).
//! Credentials come from the environment, never from the configuration.
//!
//! Objects are made once and never replaced: each put is conditional, so that of two who would write the
//! same name one is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use reqwest::Url;

use crate::storage::files::{FileError, create_dir_private};

/// Prefixes of the variables that the object store's client may read.
const ENV_PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Why an archive cannot be reached, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address.
    #[error("{0}")]
    Url(String),
    /// The directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store. Its words may hold addresses, and no credentials.
    #[error("the archive: {0}")]
    Store(#[from] object_store::Error),
    /// Something larger than it may be.
    #[error("the archive: {name} has {bytes} bytes, more than it may")]
    TooLarge {
        /// The object.
        name: String,
        /// Its size.
        bytes: u64,
    },
    /// It does not answer.
    #[error("the archive: no answer within {} s", .0.as_secs())]
    Late(Duration),
}

/// What became of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is there now.
    Made,
    /// An object of that name was there before.
    Exists,
}

/// An object store, below a prefix. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    shown: String,
    timeout: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

impl Target {
    /// Prepares; of an object store nothing is asked yet. A directory must be there unless `make` says
    /// that it may be made. Each call is given `timeout`.
    ///
    /// # Errors
    /// [`TargetError::Url`], also for an address with a password in it, and [`TargetError::File`].
    pub fn open(text: &str, make: bool, timeout: Duration) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(|error| TargetError::Url(format!("{error}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            let rule = "credentials belong into the environment (AWS_ACCESS_KEY_ID and its like)";
            return Err(TargetError::Url(rule.into()));
        }
        if url.scheme() == "file" {
            return Self::directory(&url, make, timeout);
        }
        // Whoever installed a provider before keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let known = |name: &str| ENV_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let options = std::env::vars().filter(|(name, _)| known(name));
        let options = options.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&url, options)
            .map_err(|error| TargetError::Url(error.to_string()))?;
        Ok(Target { store: store.into(), prefix, shown: url.to_string(), timeout })
    }

    fn directory(url: &Url, make: bool, timeout: Duration) -> Result<Self, TargetError> {
        let path: PathBuf = url
            .to_file_path()
            .map_err(|()| TargetError::Url("want file:///an/absolute/path".into()))?;
        // One that is there, such as a mounted one, is taken as it is.
        if make && !path.is_dir() {
            create_dir_private(&path)?;
        }
        let store = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
        let (store, prefix) = (Arc::new(store), Path::default());
        Ok(Target { store, prefix, shown: url.to_string(), timeout })
    }

    /// The address.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn at(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, TargetError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(TargetError::Late(self.timeout)),
        }
    }

    /// Makes an object, durably, unless there is one of that name.
    ///
    /// # Errors
    /// [`TargetError`]; whether it was made is not known then.
    pub async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Put, TargetError> {
        let (at, options) = (self.at(name), PutOptions::from(PutMode::Create));
        let put = self.store.put_opts(&at, bytes.into(), options);
        match self.in_time(put).await {
            Ok(_) => Ok(Put::Made),
            Err(TargetError::Store(object_store::Error::AlreadyExists { .. })) => Ok(Put::Exists),
            Err(error) => Err(error),
        }
    }

    /// Reads an object of at most `bytes_max`; `None` when there is none.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, TargetError> {
        let at = self.at(name);
        let read = async {
            let found = self.store.get(&at).await?;
            let bytes = found.meta.size;
            match bytes > bytes_max as u64 {
                true => Ok(Err(bytes)),
                false => Ok(Ok(found.bytes().await?)),
            }
        };
        match self.in_time(read).await {
            Ok(Ok(bytes)) => Ok(Some(bytes.into())),
            Ok(Err(bytes)) => Err(TargetError::TooLarge { name: name.into(), bytes }),
            Err(TargetError::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names in the folder `folder` that come after `after`, sorted, with their sizes in bytes. All
    /// are in memory at once: about 100 bytes each.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> Result<Vec<(String, u64)>, TargetError> {
        let folder = self.at(folder);
        let objects = match after {
            Some(name) => self.store.list_with_offset(Some(&folder), &folder.clone().join(name)),
            None => self.store.list(Some(&folder)),
        };
        let named = objects.map(|object| {
            object.map(|meta| (meta.location.filename().unwrap_or_default().to_owned(), meta.size))
        });
        // A page at a time; the bound of time is for each of them.
        let mut pages = named.ready_chunks(1000);
        let mut names = Vec::new();
        while let Some(page) = self.in_time(async { Ok(pages.next().await) }).await? {
            names.extend(page.into_iter().collect::<object_store::Result<Vec<_>>>()?);
        }
        names.sort_unstable();
        Ok(names)
    }
}
