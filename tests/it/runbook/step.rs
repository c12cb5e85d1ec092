//! One command of `RUNBOOK.md` and what has to become of it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::sandbox::{Done, PROFILE, Sandbox};

/// What follows by itself, like a published root, is there by then.
pub const SOON: Duration = Duration::from_secs(20);

/// The steps under one heading, in the order of the page.
pub type Chapter = (&'static str, Vec<Step>);

pub enum Kind {
    /// It ends with this code.
    Ends { code: i32 },
    /// It goes on until Ctrl-C.
    Serves { code: i32 },
    /// Not run here: this test does the same.
    HeldBy(&'static str),
    /// It cannot be run here, for this reason.
    Cannot(&'static str),
}

pub struct Step {
    pub command: &'static str,
    pub kind: Kind,
    /// What an operator has done before it.
    pub before: Option<fn(&mut Sandbox)>,
    phrase: &'static str,
    leaves: Option<(&'static str, &'static str)>,
    owners: Option<&'static str>,
    logs: Option<&'static str>,
    is_durable: bool,
    /// The text says that it comes to that by itself: asked again for a while.
    comes: bool,
}

fn step(command: &'static str, kind: Kind, phrase: &'static str) -> Step {
    let (before, leaves, owners, logs) = (None, None, None, None);
    Step { command, kind, before, phrase, leaves, owners, logs, is_durable: false, comes: false }
}

/// It ends with 0 and says this phrase.
pub fn ends(command: &'static str, phrase: &'static str) -> Step {
    step(command, Kind::Ends { code: 0 }, phrase)
}

/// It says this phrase and goes on, until Ctrl-C ends it with 0.
pub fn serves(command: &'static str, phrase: &'static str) -> Step {
    step(command, Kind::Serves { code: 0 }, phrase)
}

pub fn held_by(command: &'static str, test: &'static str) -> Step {
    step(command, Kind::HeldBy(test), "")
}

pub fn cannot(command: &'static str, reason: &'static str) -> Step {
    step(command, Kind::Cannot(reason), "")
}

impl Step {
    pub fn code(mut self, expected: i32) -> Self {
        if let Kind::Ends { code } | Kind::Serves { code } = &mut self.kind {
            *code = expected;
        }
        self
    }

    pub fn before(mut self, before: fn(&mut Sandbox)) -> Self {
        self.before = Some(before);
        self
    }

    /// It leaves a file with this in it.
    pub fn leaves(mut self, file: &'static str, phrase: &'static str) -> Self {
        self.leaves = Some((file, phrase));
        self
    }

    /// It leaves a file that nobody else can read.
    pub fn owners(mut self, file: &'static str) -> Self {
        self.owners = Some(file);
        self
    }

    /// The daemon logs a line with this, now or soon.
    pub fn logs(mut self, phrase: &'static str) -> Self {
        self.logs = Some(phrase);
        self
    }

    /// Only for a macronode.
    pub fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    pub fn comes(mut self) -> Self {
        self.comes = true;
        self
    }

    /// Whether it is run here.
    pub fn runs(&self) -> bool {
        let can = matches!(self.kind, Kind::Ends { .. } | Kind::Serves { .. });
        can && (!self.is_durable || PROFILE == "macronode")
    }

    /// Runs it in this shell. What follows it by itself has as long as `soon`.
    ///
    /// # Errors
    /// What did not become of it.
    pub fn check(&self, sandbox: &mut Sandbox, shell: &str, soon: Duration) -> Result<(), String> {
        let said_before = sandbox.journal().len();
        let until = Instant::now() + soon;
        let attempt = || match self.kind {
            Kind::Ends { code } => {
                self.judge(sandbox, &sandbox.run(&format!("{shell}{}", self.command)), code)
            }
            Kind::Serves { code } => {
                self.judge(sandbox, &sandbox.serve(self.command, self.phrase), code)
            }
            Kind::HeldBy(_) | Kind::Cannot(_) => Ok(()),
        };
        let mut outcome = attempt();
        while outcome.is_err() && self.comes && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            outcome = attempt();
        }
        outcome?;
        let Some(phrase) = self.logs else { return Ok(()) };
        while !sandbox.journal()[said_before..].contains(phrase) {
            if Instant::now() > until {
                let journal = &sandbox.journal()[said_before..];
                return Err(format!("no line of the log has `{phrase}`:\n{journal}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn judge(&self, sandbox: &Sandbox, done: &Done, code: i32) -> Result<(), String> {
        let said = &done.said;
        if done.code != Some(code) {
            return Err(format!("ends with {:?}, not {code}:\n{said}", done.code));
        }
        if !said.contains(self.phrase) {
            return Err(format!("does not say `{}`:\n{said}", self.phrase));
        }
        if let Some(file) = self.owners {
            let mode =
                std::fs::metadata(sandbox.path(file)).map(|it| it.permissions().mode() & 0o777);
            if mode.as_ref().ok() != Some(&0o600) {
                return Err(format!("{file} is open to others: {mode:?}"));
            }
        }
        match self.leaves {
            Some((file, phrase)) if !sandbox.read(file).contains(phrase) => {
                Err(format!("{file} has not `{phrase}`:\n{}", sandbox.read(file)))
            }
            _ => Ok(()),
        }
    }
}
