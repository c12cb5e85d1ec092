//! `cap`: make, narrow, read and revoke capabilities.

mod live;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::context::{Context, load_config, now_ms};
use super::ui::time_text;
use super::{CtlError, private};
use crate::capability::{Action, Caveat, Identifier, Keyring, Macaroon, Peer, Plane, Token};
use crate::capability::{attenuate, mint};
use crate::client::BearerToken;

/// Make, narrow, read and revoke capabilities
#[derive(Debug, Subcommand)]
pub(super) enum CapCommand {
    Mint(MintArgs),
    Attenuate(AttenuateArgs),
    Inspect(InspectArgs),
    List(live::ListArgs),
    Revoke(live::RevokeArgs),
    Rotate(live::RotateArgs),
}

/// Mint a capability under the node's current root key
///
/// Runs on the ledger's machine, as a user who can read the keyring.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl cap mint --action mint,transfer --account-prefix acct: --expires 7d --out app.token\n  \
    ron-ledgerctl cap mint --action read --expires 1h --id auditor-7")]
pub(super) struct MintArgs {
    /// Its id, which entries name as `capability_ref`; by default made by chance
    #[arg(long)]
    id: Option<String>,

    /// How long it is good for: at most 30d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Duration,

    #[command(flatten)]
    limits: Limits,

    /// The daemon's configuration, which says where the keyring is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the token to this file, mode 0600, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Narrow a capability: this needs no key, and can only take away
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl cap attenuate --token-file app.token --amount-max 1000 --expires 10m")]
pub(super) struct AttenuateArgs {
    /// How long it is good for, from now, when that is sooner than before
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    limits: Limits,

    /// Write the token to this file, mode 0600, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Show what a capability says it allows
///
/// The signature is neither shown nor checked: only the ledger can check it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl cap inspect --token-file app.token")]
pub(super) struct InspectArgs {}

#[derive(Debug, Args)]
struct Limits {
    /// What may be done
    #[arg(long, value_delimiter = ',', value_parser = named(Action::ALL, Action::name))]
    action: Vec<Action>,

    /// Only accounts whose names start so; end it with a delimiter
    #[arg(long, value_name = "PREFIX")]
    account_prefix: Option<String>,

    /// Only these assets
    #[arg(long, value_delimiter = ',')]
    asset: Vec<String>,

    /// At most so many atoms per entry
    #[arg(long, value_name = "ATOMS")]
    amount_max: Option<u128>,

    /// Only on these listeners
    #[arg(long, value_delimiter = ',', value_parser = named(Plane::ALL, Plane::name))]
    plane: Vec<Plane>,

    /// Only over these kinds of connection
    #[arg(long, value_delimiter = ',', value_parser = named(Peer::ALL, Peer::name))]
    peer: Vec<Peer>,
}

/// Reads one of a closed list of names, which the help shows.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&value| name(value))).map(move |text| {
        let found = all.iter().copied().find(|&value| name(value) == text);
        found.expect("only the listed names get here")
    })
}

impl Limits {
    fn caveats(self, expires: Option<Duration>, now_ms: u64) -> Vec<Caveat> {
        fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
            (!list.is_empty()).then_some(list)
        }
        let expires_ms = expires.map(|in_time| {
            now_ms.saturating_add(u64::try_from(in_time.as_millis()).unwrap_or(u64::MAX))
        });
        [
            some(self.action).map(Caveat::Actions),
            self.account_prefix.map(Caveat::AccountPrefix),
            some(self.asset).map(Caveat::Assets),
            self.amount_max.map(Caveat::AmountMax),
            expires_ms.map(Caveat::ExpiresMs),
            some(self.plane).map(Caveat::Planes),
            some(self.peer).map(Caveat::Peers),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

pub(super) async fn run(command: CapCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        CapCommand::Mint(args) => mint_token(args, context),
        CapCommand::Attenuate(args) => {
            let token = given_token(context)?;
            let caveats = args.limits.caveats(args.expires, now_ms());
            if caveats.is_empty() {
                return Err(CtlError::usage("say at least one limit, like --amount-max 1000"));
            }
            let narrowed = attenuate(token.expose(), &caveats).map_err(CtlError::usage)?;
            hand_over(&narrowed, args.out, context)
        }
        CapCommand::Inspect(InspectArgs {}) => inspect(&given_token(context)?, context),
        CapCommand::List(live::ListArgs {}) => live::list(context).await,
        CapCommand::Revoke(args) => live::revoke(args, context).await,
        CapCommand::Rotate(args) => live::rotate(args, context),
    }
}

fn mint_token(args: MintArgs, context: &Context) -> Result<(), CtlError> {
    if args.limits.action.is_empty() {
        return Err(CtlError::usage("say what may be done, like --action transfer,read"));
    }
    let id = args.id.unwrap_or_else(|| format!("cap-{:016x}", rand::random::<u64>()));
    let dir = load_config(args.config)?.config.capabilities.keyring_dir;
    let keyring = Keyring::open(&dir)
        .map_err(|error| CtlError::internal(error).hint("`init` makes the keyring"))?;
    let now_ms = now_ms();
    let caveats = args.limits.caveats(Some(args.expires), now_ms);
    let token = mint(&keyring, &id, &caveats, now_ms).map_err(CtlError::usage)?;
    context.ui.note(format_args!("capability {id} under key {}", keyring.current().0));
    hand_over(&token, args.out, context)
}

/// Gives the token to whoever asked for it: the only place where one is shown.
fn hand_over(token: &Token, out: Option<PathBuf>, context: &Context) -> Result<(), CtlError> {
    let Some(path) = out else {
        return match context.ui.json {
            true => context.ui.show_json(&json!({ "token": token.expose() })),
            false => context.ui.line(token.expose()),
        };
    };
    private::write(&path, token.expose().as_bytes())
        .map_err(|error| CtlError::internal(format_args!("{}: {error}", path.display())))?;
    match context.ui.json {
        true => context.ui.show_json(&json!({ "token_file": path })),
        false => context.ui.line(format_args!("wrote {}", path.display())),
    }
}

fn given_token(context: &Context) -> Result<BearerToken, CtlError> {
    let missing = || CtlError::usage("no token").hint("give one with --token-file FILE");
    context.token()?.ok_or_else(missing)
}

#[derive(Debug, Serialize)]
struct Inspected {
    kid: String,
    id: String,
    caveats: Vec<String>,
    /// The earliest expiry, in ms.
    expires_ms: Option<u64>,
    expired: bool,
}

fn inspected(token: &BearerToken, now_ms: u64) -> Result<Inspected, CtlError> {
    let macaroon = Macaroon::parse(token.expose()).map_err(CtlError::usage)?;
    let identifier = Identifier::parse(macaroon.identifier()).map_err(CtlError::usage)?;
    let parsed: Result<Vec<Caveat>, _> = macaroon.caveats().map(Caveat::parse).collect();
    let caveats = parsed.map_err(CtlError::usage)?;
    let expiries = caveats.iter().filter_map(|caveat| match caveat {
        Caveat::ExpiresMs(ms) => Some(*ms),
        _ => None,
    });
    let expires_ms = expiries.min();
    Ok(Inspected {
        kid: identifier.kid().to_owned(),
        id: identifier.id().to_owned(),
        caveats: caveats.iter().map(Caveat::to_string).collect(),
        expires_ms,
        expired: expires_ms.is_some_and(|ms| ms <= now_ms),
    })
}

fn inspect(token: &BearerToken, context: &Context) -> Result<(), CtlError> {
    let shown = inspected(token, now_ms())?;
    context.ui.show(&shown, || {
        let mut table = context.ui.table(["field", "value"]);
        table.add_row(["id", &shown.id]);
        table.add_row(["root key", &shown.kid]);
        for caveat in &shown.caveats {
            table.add_row(["caveat", caveat]);
        }
        if let Some(ms) = shown.expires_ms {
            let word = if shown.expired { "expired" } else { "expires" };
            table.add_row([word, &time_text(ms)]);
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn limits() -> Limits {
        Limits {
            action: vec![Action::Mint, Action::Transfer],
            account_prefix: Some("acct:".to_owned()),
            asset: vec!["RON".to_owned()],
            amount_max: Some(5),
            plane: Vec::new(),
            peer: vec![Peer::Uds],
        }
    }

    #[test]
    fn what_is_inspected_is_what_was_minted_without_its_signature() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(&dir.path().join("keyring"), Some(&[7; 32])).unwrap();
        let caveats = limits().caveats(Some(Duration::from_secs(60)), NOW_MS);
        let token = mint(&keyring, "cap-1", &caveats, NOW_MS).unwrap();
        let narrower = Limits { amount_max: Some(3), ..limits() }.caveats(None, NOW_MS);
        let token = attenuate(token.expose(), &narrower).unwrap();
        let bearer = BearerToken::new(token.expose().to_owned()).unwrap();
        let shown = inspected(&bearer, NOW_MS).unwrap();
        assert_eq!((shown.kid.as_str(), shown.id.as_str()), ("root-1", "cap-1"));
        assert_eq!(shown.expires_ms, Some(NOW_MS + 60_000));
        assert!(!shown.expired && inspected(&bearer, NOW_MS + 60_000).unwrap().expired);
        let expected = [
            "action in mint,transfer",
            "account prefix acct:",
            "asset in RON",
            "amount <= 5",
            "expires <= 1700000060000",
            "peer = uds",
            "action in mint,transfer",
            "account prefix acct:",
            "asset in RON",
            "amount <= 3",
            "peer = uds",
        ];
        assert_eq!(shown.caveats, expected);
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains(&token.expose()[token.expose().len() - 40..]), "{text}");
    }

    #[test]
    fn no_limit_is_no_caveat() {
        let none = Limits {
            action: Vec::new(),
            account_prefix: None,
            asset: Vec::new(),
            amount_max: None,
            plane: Vec::new(),
            peer: Vec::new(),
        };
        assert!(none.caveats(None, NOW_MS).is_empty());
    }
}
