//! System calls, read from a trace of `strace -f -xx`.

use std::collections::HashMap;
use std::path::PathBuf;

use super::disk::path_of;

/// One call; its arguments as they stand in the trace, which has every text in hex.
#[derive(Clone, Debug)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    pub arguments: Vec<String>,
    pub result: i64,
}

/// A call begins, or has returned.
#[derive(Debug)]
pub enum Event {
    Begins(Call),
    Ends(Call),
}

impl Call {
    pub fn number(&self, at: usize) -> i64 {
        self.arguments[at].parse().unwrap()
    }

    /// What a text has in it.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        let text = self.arguments[at].trim_matches('"');
        hex::decode(text.replace("\\x", "")).unwrap_or_else(|_| panic!("{text} in {}", self.name))
    }

    pub fn path(&self, at: usize) -> PathBuf {
        path_of(&self.bytes(at))
    }
}

/// All calls of a trace. One that another interrupts has two lines.
pub fn events(trace: &str) -> Vec<Event> {
    let (mut found, mut halves) = (Vec::new(), HashMap::<u32, &str>::new());
    for line in trace.lines() {
        let (thread, text) = line.split_once(' ').unwrap();
        let (thread, text) = (thread.parse().unwrap(), text.trim_start());
        if let Some(half) = text.strip_suffix(" <unfinished ...>") {
            found.extend(call(thread, half, "-1").map(Event::Begins));
            halves.insert(thread, half);
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some(half) = halves.remove(&thread) else { continue };
            let (_, rest) = rest.split_once(" resumed>").unwrap();
            found.extend(whole(thread, &format!("{half}{rest}")).map(Event::Ends));
        } else if let Some(call) = whole(thread, text) {
            found.push(Event::Begins(call.clone()));
            found.push(Event::Ends(call));
        }
    }
    found
}

fn whole(thread: u32, text: &str) -> Option<Call> {
    let (head, result) = text.rsplit_once(" = ")?;
    call(thread, head.trim_end().strip_suffix(')')?, result)
}

fn call(thread: u32, head: &str, result: &str) -> Option<Call> {
    let (name, arguments) = head.split_once('(')?;
    let arguments =
        arguments.split(", ").map(|text| text.trim_end_matches(',').to_owned()).collect();
    let result = result.split_whitespace().next()?.parse().ok()?;
    Some(Call { thread, name: name.to_owned(), arguments, result })
}
