//! "There is always a way": from every state that can be reached, a goal can be reached without one
//! more fault. stateright's `eventually` says nothing of runs that go in circles, and every run here
//! can; so this walks back from the goal and looks for states that it does not meet. In a graph that
//! is finite, a run that is fair to each step then comes to the goal once faults end.

use std::collections::HashMap;

use super::Pipeline;
use super::state::State;

/// Every state, and the steps between them that are no faults.
pub struct Explored {
    states: Vec<State>,
    /// Of each state, from where one step that is no fault leads to it.
    sources: Vec<Vec<u32>>,
}

pub fn explore(model: &Pipeline) -> Explored {
    let first = State::new();
    let mut known: HashMap<State, u32> = HashMap::from([(first, 0)]);
    let mut found = Explored { states: vec![first], sources: vec![Vec::new()] };
    let (mut at, mut steps) = (0, Vec::new());
    while let Some(&state) = found.states.get(at) {
        model.steps(&state, &mut steps);
        for step in steps.drain(..) {
            let Some(next) = model.step(&state, step) else { continue };
            let to = *known.entry(next).or_insert_with(|| {
                found.states.push(next);
                found.sources.push(Vec::new());
                found.states.len() as u32 - 1
            });
            if !step.is_fault(&state) {
                found.sources[to as usize].push(at as u32);
            }
        }
        at += 1;
    }
    found
}

impl Explored {
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// A state from which no way without faults leads to the goal.
    pub fn without_a_way_to(&self, is_goal: impl Fn(&State) -> bool) -> Option<&State> {
        let mut reaches: Vec<bool> = self.states.iter().map(is_goal).collect();
        let mut open: Vec<usize> = (0..reaches.len()).filter(|&at| reaches[at]).collect();
        while let Some(at) = open.pop() {
            for &source in &self.sources[at] {
                if !std::mem::replace(&mut reaches[source as usize], true) {
                    open.push(source as usize);
                }
            }
        }
        reaches.iter().position(|reaches| !reaches).map(|at| &self.states[at])
    }
}
