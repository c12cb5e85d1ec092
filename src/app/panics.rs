//! What the log says of a panic: who and where, and not the text, which may quote what was in hand.

use crate::actors::supervise;

/// Replaces the process's panic hook, for the daemon. A panic in an actor is caught by its
/// supervision; one elsewhere ends its task or thread.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        let thread = std::thread::current();
        tracing::error!(
            actor = supervise::acting(),
            thread = thread.name(),
            place = place.as_deref(),
            "panic"
        );
    }));
}
