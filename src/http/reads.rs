//! What is in the ledger, for whoever may read it: entries, balances, holds, supply.
//!
//! Each answer is of one moment and carries the size of the ledger at it. Single look-ups are done
//! where the request is; pages, which may read much, on the pool of blocking threads.

use std::borrow::Cow;

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::auth::Access;
use super::dto::{
    AccountOut, AssetOut, Atoms, BalanceOut, EntriesOut, EntryAtOut, EntryOut, HoldOut, SupplyOut,
};
use super::error::Failure;
use super::parse::parse_id;
use super::{Shared, query};
use crate::ledger::entry::{ENTRY_VERSION, EntryId, Seq};
use crate::ledger::names::{AccountId, Asset};
use crate::ledger::reason::Reason;
use crate::ledger::state::Account;
use crate::storage::error::ReadError;
use crate::storage::reader::{Reader, Stored};

/// `GET /entries/{seq}`.
///
/// # Errors
/// 400, 401, 403, 404.
pub async fn entry(
    request: HttpRequest,
    access: Access,
    seq: Path<String>,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let seq = query::number("seq", &seq)?;
    one_entry(&shared, &access, seq, None)
}

/// `GET /entries/by-id/{id}`.
///
/// # Errors
/// 400, 401, 403, 404.
pub async fn entry_by_id(
    request: HttpRequest,
    access: Access,
    id: Path<String>,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let found = shared.pipeline.reader().find(entry_id(&id)?).map_err(Failure::store)?;
    let record = found.ok_or_else(|| not_found("no entry has this id"))?;
    one_entry(&shared, &access, record.seq, record.reversed_by)
}

fn one_entry(
    shared: &Shared,
    access: &Access,
    seq: Seq,
    reversed_by: Option<Seq>,
) -> Result<HttpResponse, Failure> {
    let reader = shared.pipeline.reader();
    let stored = reader.entry(seq).map_err(Failure::store)?;
    let stored = stored.ok_or_else(|| not_found("the ledger has no entry of this seq"))?;
    access.to_entry(&stored.sequenced.entry)?;
    // Taken after the read, so that it covers the entry.
    let size = reader.head().seq;
    Ok(HttpResponse::Ok().json(EntryAtOut { size, entry: entry_out(&stored), reversed_by }))
}

/// `GET /entries?from=&to=&limit=`.
///
/// # Errors
/// 400, 401, 403.
pub async fn entries(
    request: HttpRequest,
    access: Access,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let [from, to, limit] = query::numbers(&request, ["from", "to", "limit"])?;
    let limit = shared.page(limit)?;
    access.to_whole_ledger()?;
    let size = shared.pipeline.reader().head().seq;
    let (from, to) = (from.unwrap_or(1).max(1), to.unwrap_or(size).min(size));
    let stored = paged(&shared, move |reader| reader.entries(from, to, limit));
    let stored = stored.await?;
    let next = stored.last().map(|last| last.sequenced.seq + 1).filter(|next| *next <= to);
    let entries = stored.iter().map(entry_out).collect();
    Ok(HttpResponse::Ok().json(EntriesOut { size, entries, next }))
}

/// `GET /accounts/{account}`.
///
/// # Errors
/// 400, 401, 403.
pub async fn account(
    request: HttpRequest,
    access: Access,
    account: Path<String>,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let account = AccountId::new(account.into_inner())
        .map_err(|error| Failure::malformed(format!("account: {error}")))?;
    access.to_account(&account)?;
    let mut found = shared.pipeline.reader().account(&account).map_err(Failure::store)?;
    found.value.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(HttpResponse::Ok().json(AccountOut {
        size: found.size,
        account: account.as_str().into(),
        assets: found.value.iter().map(balance_out).collect(),
    }))
}

/// `GET /holds/{id}`.
///
/// # Errors
/// 400, 401, 403, 404.
pub async fn hold(
    request: HttpRequest,
    access: Access,
    id: Path<String>,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let id = entry_id(&id)?;
    let found = shared.pipeline.reader().hold(id).map_err(Failure::store)?;
    let hold = found.value.ok_or_else(|| not_found("no hold has this id"))?;
    access.to_account(&hold.account)?;
    Ok(HttpResponse::Ok().json(HoldOut {
        size: found.size,
        id: id.to_string().into(),
        seq: hold.seq,
        account: hold.account.as_str().into(),
        asset: hold.asset.as_str().into(),
        counterparty: hold.counterparty.as_ref().map(|other| other.as_str().into()),
        expires_at: hold.expires_at,
        amount: Atoms(hold.amount),
        captured: Atoms(hold.captured),
        remaining: Atoms(hold.remaining),
        state: hold.state.as_str().into(),
    }))
}

/// `GET /supply`.
///
/// # Errors
/// 400.
pub async fn supply(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let mut found = shared.pipeline.reader().supply().map_err(Failure::store)?;
    found.value.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let assets = found.value.iter().map(|(asset, supply)| AssetOut {
        asset: asset.as_str().into(),
        minted: Atoms(supply.minted),
        burned: Atoms(supply.burned),
        circulating: Atoms(supply.circulating()),
    });
    Ok(HttpResponse::Ok().json(SupplyOut { size: found.size, assets: assets.collect() }))
}

/// Reads a page on the pool of blocking threads.
///
/// # Errors
/// 500 when the store cannot be read.
pub(super) async fn paged<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Failure> {
    let reader = shared.pipeline.reader().clone();
    in_background(move || read(&reader)).await
}

/// Reads on the pool of blocking threads.
///
/// # Errors
/// 500 when the store cannot be read.
pub(super) async fn in_background<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Failure> {
    match web::block(read).await {
        Ok(done) => done.map_err(Failure::store),
        Err(_) => Err(Failure::new(Reason::Internal, "the read was not carried out")),
    }
}

pub(super) fn not_found(details: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Reason::NotFound, details)
}

pub(super) fn entry_id(text: &str) -> Result<EntryId, Failure> {
    parse_id(text).ok_or_else(|| Failure::malformed("id: must be a UUID"))
}

fn balance_out((asset, row): &(Asset, Account)) -> BalanceOut<'_> {
    BalanceOut {
        asset: asset.as_str().into(),
        available: Atoms(row.available),
        held: Atoms(row.held),
        credits: Atoms(row.credits),
        debits: Atoms(row.debits),
        last_seq: row.last_seq,
    }
}

fn entry_out(stored: &Stored) -> EntryOut<'_> {
    let entry = &stored.sequenced.entry;
    EntryOut {
        seq: stored.sequenced.seq,
        linked: stored.sequenced.linked,
        committed_at: stored.time,
        id: entry.id.to_string().into(),
        ts: entry.ts,
        kind: entry.kind.as_str().into(),
        account: entry.account.as_str().into(),
        amount: Atoms(entry.amount.get()),
        asset: entry.asset.as_str().into(),
        nonce: STANDARD.encode(entry.nonce).into(),
        capability_ref: entry.capability.as_str().into(),
        kid: entry.kid.as_str().into(),
        v: ENTRY_VERSION,
        counterparty: entry.counterparty.as_ref().map(|other| other.as_str().into()),
        reference: entry.reference.map(|id| Cow::Owned(id.to_string())),
        expires_at: entry.expires_at,
        keep_open: entry.keep_open,
        idem_id: entry.idem_id.as_ref().map(|id| id.as_str().into()),
        canonical: hex::encode(&stored.bytes).into(),
    }
}
