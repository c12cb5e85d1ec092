//! The state of the model: the disk, the process over it, and what the world was told. All of it is
//! small and copied freely; what a crash takes is a field that is set anew.

use std::hash::Hash;
use std::ops::Deref;

use ron_ledger::actors::mode::{Event, Mode};

/// Requests by number; each is one entry with one id.
pub type Id = u8;

/// Places for entries: one more than there are requests, so that a wrong step has room to be seen.
pub const SLOTS: usize = 4;

/// Requests in flight, at most.
pub const INFLIGHT_MAX: usize = 3;

/// A log, and so a tree head too: the id (plus one) at each seq, 0 where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tree([u8; SLOTS]);

impl Tree {
    pub fn len(&self) -> usize {
        self.0.iter().rposition(|&slot| slot != 0).map_or(0, |at| at + 1)
    }

    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.0.into_iter().filter(|&slot| slot != 0).map(|slot| slot - 1)
    }

    pub fn seq_of(&self, id: Id) -> Option<u8> {
        self.0.iter().position(|&slot| slot == id + 1).map(|at| at as u8 + 1)
    }

    pub fn has_at(&self, seq: u8, id: Id) -> bool {
        self.0[usize::from(seq) - 1] == id + 1
    }

    pub fn has_gap(&self) -> bool {
        self.0[..self.len()].contains(&0)
    }

    /// Whether this log has the tree head `part`.
    pub fn bears(&self, part: &Tree) -> bool {
        self.0[..part.len()] == part.0[..part.len()]
    }

    /// With `id` after the last entry, and `skipped` seqs between them.
    pub fn with(mut self, id: Id, skipped: usize) -> Tree {
        let at = self.len() + skipped;
        if let Some(slot) = self.0.get_mut(at) {
            *slot = id + 1;
        }
        self
    }
}

/// What readers of a file see, and what would be left of it without power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct File {
    pub visible: Tree,
    pub durable: Tree,
}

impl File {
    pub fn sync(&mut self) {
        self.durable = self.visible;
    }

    /// `kept`: the disk had got to it before the power failed.
    pub fn lose_power(&mut self, kept: bool) {
        match kept {
            true => self.durable = self.visible,
            false => self.visible = self.durable,
        }
    }
}

/// A request on its way, and the clients that wait for it: one bit each. Without any its clients went
/// away, or its deadline passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub id: Id,
    pub waiters: u8,
}

/// Tickets in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    tickets: [Ticket; INFLIGHT_MAX],
    len: u8,
}

impl Deref for Line {
    type Target = [Ticket];

    fn deref(&self) -> &[Ticket] {
        &self.tickets[..usize::from(self.len)]
    }
}

impl FromIterator<Ticket> for Line {
    fn from_iter<T: IntoIterator<Item = Ticket>>(tickets: T) -> Self {
        tickets.into_iter().fold(Line::default(), |line, ticket| line.with(ticket))
    }
}

impl Line {
    pub fn with(mut self, ticket: Ticket) -> Line {
        self.tickets[usize::from(self.len)] = ticket;
        self.len += 1;
        self
    }

    pub fn without(self, at: usize) -> Line {
        let all = self.iter().enumerate();
        all.filter(|&(other, _)| other != at).map(|(_, &ticket)| ticket).collect()
    }

    /// Where order does not count yet.
    pub fn sorted(mut self) -> Line {
        self.tickets[..usize::from(self.len)].sort_unstable();
        self
    }

    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut Ticket> {
        self.tickets[..usize::from(self.len)].iter_mut()
    }
}

/// A commit group that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub tickets: Line,
    /// The log that it was planned on.
    pub base: Tree,
    /// The log after it.
    pub planned: Tree,
}

/// Between two steps of the committer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Committer {
    /// Between two lives.
    Down,
    /// About to recover.
    Starting,
    /// The log's end fits itself and the last signed note.
    Verified(Tree),
    /// The last group was fsynced again.
    Rewritten(Tree),
    /// Readers see it; the mode does not know yet.
    Swapped,
    /// Its recovery failed: there is no writer.
    Shut,
    Idle,
    Prepared(Group),
    /// Visible, and not fsynced.
    Writing(Group),
    /// Past the commit point.
    Written(Group),
    Applied(Group),
    /// About to hand the head to the publisher.
    Answered,
}

impl Committer {
    pub fn group(&self) -> Option<&Group> {
        use Committer::{Applied, Prepared, Writing, Written};
        match self {
            Prepared(group) | Writing(group) | Written(group) | Applied(group) => Some(group),
            _ => None,
        }
    }

    fn group_mut(&mut self) -> Option<&mut Group> {
        use Committer::{Applied, Prepared, Writing, Written};
        match self {
            Prepared(group) | Writing(group) | Written(group) | Applied(group) => Some(group),
            _ => None,
        }
    }

    /// Whether this life holds the right to write.
    pub fn has_writer(&self) -> bool {
        !matches!(self, Committer::Down | Committer::Starting | Committer::Shut)
    }
}

/// Between two steps of the root publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Publisher {
    /// Between two lives.
    Down,
    /// Has not looked at the last note yet.
    Fresh,
    /// The last note is durable, and shown.
    Restored,
    /// It fits the log, and could not be made durable yet.
    Unshown,
    /// It fits the log, is durable, and is shown.
    Checked,
    /// A new note stands under its name; the name may not last.
    Renamed(Tree),
    /// It lasts.
    Kept(Tree),
}

impl Publisher {
    /// It found in this life that the last note fits the log.
    pub fn is_checked(&self) -> bool {
        use Publisher::{Checked, Kept, Renamed, Unshown};
        matches!(self, Unshown | Checked | Renamed(_) | Kept(_))
    }
}

/// All that dies with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The mode itself, not a model of it.
    pub mode: Mode,
    /// The engine failed in a write, and takes no more. What is fsynced from then on need not be on
    /// the disk: the pages that failed are marked clean.
    pub poisoned: bool,
    /// Ingress and prevalidators: no order yet.
    pub front: Line,
    /// In the sequencer's hands and at its door.
    pub sequenced: Line,
    pub sequencer_up: bool,
    /// The group that waits at the committer's door; empty: none.
    pub door: Line,
    pub committer: Committer,
    /// A group in the hands of another writer: there must be none.
    pub other: Option<Group>,
    /// An order to clear safe-mode waits for the recovery.
    pub clearing: bool,
    /// What readers see: head and overlay.
    pub overlay: Tree,
    pub is_open: bool,
    /// The publisher's cell.
    pub newest: Option<Tree>,
    /// A message or a timer will make the publisher look at the cell.
    pub look: bool,
    pub publisher: Publisher,
    /// What `/checkpoint` shows.
    pub shown: Option<Tree>,
}

impl Process {
    /// A process that begins. Writes are barred before the first actor runs.
    pub fn new() -> Self {
        Process {
            mode: Mode::READY.after(Event::RecoveryStarted).expect("a start is a move"),
            poisoned: false,
            front: Line::default(),
            sequenced: Line::default(),
            sequencer_up: false,
            door: Line::default(),
            committer: Committer::Starting,
            other: None,
            clearing: false,
            overlay: Tree::default(),
            is_open: false,
            newest: None,
            look: false,
            publisher: Publisher::Fresh,
            shown: None,
        }
    }

    pub fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        let in_hand = self.committer.group().into_iter().chain(&self.other);
        let in_hand = in_hand.flat_map(|group| group.tickets.iter());
        self.front.iter().chain(self.sequenced.iter()).chain(self.door.iter()).chain(in_hand)
    }

    pub fn tickets_mut(&mut self) -> impl Iterator<Item = &mut Ticket> {
        let in_hand = self.committer.group_mut().into_iter().chain(&mut self.other);
        let in_hand = in_hand.flat_map(|group| group.tickets.each_mut());
        let queued = self.front.each_mut().chain(self.sequenced.each_mut());
        queued.chain(self.door.each_mut()).chain(in_hand)
    }
}

/// What the world remembers, whatever dies: no part of the ledger, and no step looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The seq that clients were told for each id; 0: none.
    pub told: [u8; SLOTS],
    /// An id was told two seqs.
    pub contradicted: bool,
    /// The largest tree head that was ever shown.
    pub shown: Tree,
    /// A smaller one was shown after it.
    pub went_back: bool,
    /// A group was begun while safe-mode stood.
    pub begun_in_safe_mode: bool,
    /// An actor asked the mode for an illegal move.
    pub misfit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub log: File,
    pub note: File,
    pub process: Process,
    pub memory: Memory,
}

impl State {
    pub fn new() -> Self {
        State {
            log: File::default(),
            note: File::default(),
            process: Process::new(),
            memory: Memory::default(),
        }
    }

    pub fn note(&mut self, event: Event) {
        match self.process.mode.after(event) {
            Ok(mode) => self.process.mode = mode,
            Err(_) => self.memory.misfit = true,
        }
    }

    /// To those who still wait.
    pub fn tell(&mut self, ticket: &Ticket, seq: u8) {
        let told = &mut self.memory.told[usize::from(ticket.id)];
        if ticket.waiters != 0 {
            self.memory.contradicted |= *told != 0 && *told != seq;
            *told = seq;
        }
    }

    pub fn show(&mut self, tree: Tree) {
        self.process.shown = Some(tree);
        match tree.len() < self.memory.shown.len() {
            true => self.memory.went_back = true,
            false => self.memory.shown = tree,
        }
    }

    pub fn is_waiting(&self, client: u8) -> bool {
        self.process.tickets().any(|ticket| ticket.waiters & 1 << client != 0)
    }
}
