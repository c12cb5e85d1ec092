//! Macaroons in the V2 binary format of libmacaroons, with first-party caveats only.
//!
//! The signature is a chain: HMAC-SHA256 of the identifier under the derived root key, then of
//! each caveat under the signature before it. Whoever has a token can add a caveat; nobody can
//! take one away. The location is a hint that the chain does not cover.
//!
//! Format: `02`, then the fields `type varint-length bytes`: location (1, optional), identifier
//! (2), end `00`; per caveat identifier (2), end `00`; end `00`; signature (6). See
//! <https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt>.

use super::secret::{Secret, Token};
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// The longest token text, in bytes.
pub const TOKEN_LEN_MAX: usize = 4096;
/// The most caveats in a token.
pub const CAVEATS_MAX: usize = 32;
/// The longest location, identifier or caveat, in bytes.
pub const FIELD_LEN_MAX: usize = 256;

const VERSION_2: u8 = 2;
const END: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const VERIFICATION_ID: u8 = 4;
const SIGNATURE: u8 = 6;

/// libmacaroons derives the key of the chain from the root key with this fixed HMAC key.
const KEY_GENERATOR: &[u8] = b"macaroons-key-generator";

/// base64url, written without padding, read with or without it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Signature = Zeroizing<[u8; 32]>;

/// A bearer token, taken apart. Its caveats mean nothing until [`Macaroon::verify`] has passed.
pub struct Macaroon {
    location: Option<Vec<u8>>,
    identifier: Vec<u8>,
    caveats: Vec<Vec<u8>>,
    signature: Signature,
}

/// Why a macaroon was refused. No message shows a part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacaroonError {
    /// More than [`TOKEN_LEN_MAX`] bytes of text.
    #[error("the token is longer than 4096 bytes")]
    TooLong,
    /// Not canonical base64url.
    #[error("the token is not base64url")]
    NotBase64url,
    /// V1, V2 JSON, or no macaroon at all.
    #[error("the token is not a macaroon in the v2 binary format")]
    Version,
    /// The named part is cut short, out of place, or has a length that is not minimal.
    #[error("the token is malformed at its {0}")]
    Malformed(&'static str),
    /// A caveat that another party would have to discharge.
    #[error("third-party caveats are not supported")]
    ThirdPartyCaveat,
    /// More than [`CAVEATS_MAX`] caveats.
    #[error("the token has more than 32 caveats")]
    TooManyCaveats,
    /// A location, identifier or caveat of more than [`FIELD_LEN_MAX`] bytes.
    #[error("the {0} of the token is longer than 256 bytes")]
    FieldTooLong(&'static str),
    /// Bytes after the signature.
    #[error("the token has bytes after its signature")]
    TrailingBytes,
}

/// The token was minted under another root key, or changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature of the token does not match")]
pub struct BadSignature;

impl Macaroon {
    /// A macaroon without caveats.
    ///
    /// # Errors
    /// [`MacaroonError::FieldTooLong`] above [`FIELD_LEN_MAX`] bytes.
    pub fn mint(
        root_key: &Secret,
        location: Option<&str>,
        identifier: &[u8],
    ) -> Result<Self, MacaroonError> {
        check_len(location.unwrap_or_default().as_bytes(), "location")?;
        check_len(identifier, "identifier")?;
        Ok(Self {
            location: location.map(|location| location.as_bytes().to_vec()),
            identifier: identifier.to_vec(),
            caveats: Vec::new(),
            signature: first_link(root_key, identifier),
        })
    }

    /// Adds a caveat; this needs no root key.
    ///
    /// # Errors
    /// [`MacaroonError::FieldTooLong`] or [`MacaroonError::TooManyCaveats`].
    pub fn attenuate(mut self, caveat: &[u8]) -> Result<Self, MacaroonError> {
        check_len(caveat, "caveat")?;
        if self.caveats.len() == CAVEATS_MAX {
            return Err(MacaroonError::TooManyCaveats);
        }
        self.signature = hmac(&*self.signature, caveat);
        self.caveats.push(caveat.to_vec());
        Ok(self)
    }

    /// Whether the chain starts at `root_key`; compared in constant time.
    ///
    /// # Errors
    /// [`BadSignature`] if it does not.
    pub fn verify(&self, root_key: &Secret) -> Result<(), BadSignature> {
        let signature = self
            .caveats
            .iter()
            .fold(first_link(root_key, &self.identifier), |link, caveat| hmac(&*link, caveat));
        if bool::from(signature.ct_eq(&*self.signature)) { Ok(()) } else { Err(BadSignature) }
    }

    /// Writes the token that [`Macaroon::parse`] reads.
    ///
    /// # Errors
    /// [`MacaroonError::TooLong`] above [`TOKEN_LEN_MAX`] bytes of text.
    pub fn serialize(&self) -> Result<Token, MacaroonError> {
        // Reserved in full, so that growing leaves no copy of the signature behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.encoded_len_max()));
        bytes.push(VERSION_2);
        if let Some(location) = &self.location {
            put_field(&mut bytes, LOCATION, location);
        }
        put_field(&mut bytes, IDENTIFIER, &self.identifier);
        bytes.push(END);
        for caveat in &self.caveats {
            put_field(&mut bytes, IDENTIFIER, caveat);
            bytes.push(END);
        }
        bytes.push(END);
        put_field(&mut bytes, SIGNATURE, &*self.signature);
        let token = Token::new(BASE64URL.encode(&*bytes));
        if token.expose().len() > TOKEN_LEN_MAX { Err(MacaroonError::TooLong) } else { Ok(token) }
    }

    /// Reads a token. One macaroon has one binary form: lengths are minimal, nothing may follow.
    ///
    /// # Errors
    /// [`MacaroonError`], for any token over a limit or outside of the supported format.
    pub fn parse(token: &str) -> Result<Self, MacaroonError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(MacaroonError::TooLong);
        }
        let bytes = BASE64URL.decode(token).map_err(|_| MacaroonError::NotBase64url)?;
        let bytes = Zeroizing::new(bytes);
        let Some((&VERSION_2, rest)) = bytes.split_first() else {
            return Err(MacaroonError::Version);
        };
        Fields { rest }.macaroon()
    }

    /// The identifier, which names the root key.
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// The caveats, oldest first.
    pub fn caveats(&self) -> impl Iterator<Item = &[u8]> {
        self.caveats.iter().map(Vec::as_slice)
    }

    fn encoded_len_max(&self) -> usize {
        let fields = self.caveats.iter().chain(&self.location).chain([&self.identifier]);
        // A field takes its type, two bytes of length and an end mark at most.
        fields.map(|field| field.len() + 4).sum::<usize>() + 64
    }
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Macaroon")
            .field("identifier", &format_args!("{}", self.identifier.escape_ascii()))
            .field("caveats", &self.caveats.len())
            .finish_non_exhaustive()
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Signature {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("hmac takes a key of any length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn first_link(root_key: &Secret, identifier: &[u8]) -> Signature {
    hmac(&*hmac(KEY_GENERATOR, root_key.expose()), identifier)
}

fn check_len(field: &[u8], what: &'static str) -> Result<(), MacaroonError> {
    if field.len() > FIELD_LEN_MAX { Err(MacaroonError::FieldTooLong(what)) } else { Ok(()) }
}

/// Appends a field of at most [`FIELD_LEN_MAX`] bytes.
fn put_field(out: &mut Vec<u8>, field_type: u8, data: &[u8]) {
    let len = u16::try_from(data.len()).expect("fields are at most 256 bytes");
    out.push(field_type);
    if len < 0x80 {
        out.push(len as u8);
    } else {
        out.extend([(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
    }
    out.extend_from_slice(data);
}

/// What of a binary macaroon is still to be read.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn macaroon(mut self) -> Result<Macaroon, MacaroonError> {
        let location = match self.peek("location")? {
            LOCATION => Some(self.field(LOCATION, "location")?.to_vec()),
            _ => None,
        };
        let identifier = self.field(IDENTIFIER, "identifier")?.to_vec();
        self.end("identifier")?;
        let mut caveats = Vec::new();
        while self.peek("caveat")? != END {
            if caveats.len() == CAVEATS_MAX {
                return Err(MacaroonError::TooManyCaveats);
            }
            caveats.push(self.caveat()?.to_vec());
        }
        self.end("caveat")?;
        let signature = self.field(SIGNATURE, "signature")?;
        let signature = signature.try_into().map_err(|_| MacaroonError::Malformed("signature"))?;
        if !self.rest.is_empty() {
            return Err(MacaroonError::TrailingBytes);
        }
        Ok(Macaroon { location, identifier, caveats, signature: Zeroizing::new(signature) })
    }

    /// A first-party caveat is an identifier alone; a location or a verification id makes it one
    /// of a third party.
    fn caveat(&mut self) -> Result<&'a [u8], MacaroonError> {
        if self.peek("caveat")? == LOCATION {
            return Err(MacaroonError::ThirdPartyCaveat);
        }
        let caveat = self.field(IDENTIFIER, "caveat")?;
        if self.peek("caveat")? == VERIFICATION_ID {
            return Err(MacaroonError::ThirdPartyCaveat);
        }
        self.end("caveat")?;
        Ok(caveat)
    }

    fn peek(&self, what: &'static str) -> Result<u8, MacaroonError> {
        self.rest.first().copied().ok_or(MacaroonError::Malformed(what))
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, MacaroonError> {
        let (&byte, rest) = self.rest.split_first().ok_or(MacaroonError::Malformed(what))?;
        self.rest = rest;
        Ok(byte)
    }

    fn end(&mut self, what: &'static str) -> Result<(), MacaroonError> {
        if self.byte(what)? == END { Ok(()) } else { Err(MacaroonError::Malformed(what)) }
    }

    fn field(&mut self, field_type: u8, what: &'static str) -> Result<&'a [u8], MacaroonError> {
        if self.byte(what)? != field_type {
            return Err(MacaroonError::Malformed(what));
        }
        let len = self.len(what)?;
        let (data, rest) = self.rest.split_at_checked(len).ok_or(MacaroonError::Malformed(what))?;
        self.rest = rest;
        Ok(data)
    }

    /// A varint. Two bytes hold every length up to [`FIELD_LEN_MAX`], so a third is too long.
    fn len(&mut self, what: &'static str) -> Result<usize, MacaroonError> {
        let low = usize::from(self.byte(what)?);
        if low < 0x80 {
            return Ok(low);
        }
        let high = usize::from(self.byte(what)?);
        if high == 0 {
            return Err(MacaroonError::Malformed(what));
        }
        let len = (low & 0x7f) | (high << 7);
        if high < 0x80 && len <= FIELD_LEN_MAX {
            Ok(len)
        } else {
            Err(MacaroonError::FieldTooLong(what))
        }
    }
}
