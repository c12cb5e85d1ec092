//! The requests of one connection: made of a workload, as bytes, before the clock of a measurement
//! starts, so that the generator takes little of the time that is measured.

use super::unit::{UnitIn, pack};
use super::workload::Workload;
use crate::http::dto::RequestIn;
use crate::http::{Body, Format};
use crate::ledger::entry::EntryId;

/// A request that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its bytes, and their form.
    pub body: Body,
    /// How many entries it has.
    pub entries: u32,
    /// Their ids, where they are asked for.
    pub ids: Vec<EntryId>,
}

impl Prepared {
    /// With the ids of the entries, or without them.
    pub fn of(request: &RequestIn<'_>, format: Format, with_ids: bool) -> Self {
        let ids = request.batch.iter().filter(|_| with_ids).map(|entry| EntryId::parse(&entry.id));
        let mut body = format.body_of(request);
        // Very many wait in memory.
        body.bytes.shrink_to_fit();
        Prepared {
            body,
            entries: request.batch.len() as u32,
            ids: ids.map(|id| id.expect("the ids of a workload are UUIDs")).collect(),
        }
    }
}

/// The units of a workload as requests of about `batch` entries, in order.
pub fn requests(
    units: Workload,
    batch: usize,
) -> impl Iterator<Item = RequestIn<'static>> + Send + use<> {
    pack(units.map(|unit| UnitIn::from(&unit)), batch).map(|packed| packed.request)
}

/// Requests, most of which are ready.
pub struct Feed {
    ready: std::vec::IntoIter<Prepared>,
    later: Box<dyn Iterator<Item = Prepared> + Send>,
    made_late: u64,
}

impl Feed {
    /// Makes the requests of about so many entries now; those behind them when they are asked for.
    pub fn new(
        units: Workload,
        entries: usize,
        (batch, format): (usize, Format),
        with_ids: bool,
    ) -> Self {
        let prepare = move |request| Prepared::of(&request, format, with_ids);
        let mut later = requests(units, batch).map(prepare);
        let (mut ready, mut made) = (Vec::new(), 0);
        while made < entries
            && let Some(prepared) = later.next()
        {
            made += prepared.entries as usize;
            ready.push(prepared);
        }
        Feed { ready: ready.into_iter(), later: Box::new(later), made_late: 0 }
    }

    /// How many were made when they were asked for.
    pub fn made_late(&self) -> u64 {
        self.made_late
    }
}

impl Iterator for Feed {
    type Item = Prepared;

    fn next(&mut self) -> Option<Prepared> {
        let ready = self.ready.next();
        ready.or_else(|| self.later.next().inspect(|_| self.made_late += 1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::Spec;
    use super::*;

    #[test]
    fn what_is_prepared_is_what_would_be_made_later() {
        let all = |prepared| -> (Vec<Prepared>, u64) {
            let units = Workload::new(Spec { entries: 500, ..Spec::default() }).unwrap();
            let mut feed = Feed::new(units, prepared, (16, Format::Json), true);
            (feed.by_ref().collect(), feed.made_late())
        };
        let (expected, none) = all(500);
        let entries: usize = expected.iter().map(|request| request.entries as usize).sum();
        assert_eq!((entries, none), (500, 0));
        for prepared in [0, 1, 250] {
            let (made, late) = all(prepared);
            assert_eq!(made, expected);
            assert!(late > 0 && (late as usize) <= expected.len());
        }
        let request = &expected[3];
        let read: RequestIn<'_> = serde_json::from_slice(&request.body.bytes).unwrap();
        let ids: Vec<_> = read.batch.iter().map(|entry| EntryId::parse(&entry.id)).collect();
        assert_eq!(ids, request.ids.iter().copied().map(Some).collect::<Vec<_>>());
    }
}
