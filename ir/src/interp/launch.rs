//! Launching kernels: groups one after the other, the work-items of a group in turns.
//!
//! Every item runs until it returns, throws, or waits at a barrier or sub-group op; then the next one runs. When
//! all wait, sub-groups go on: of the lanes that wait at sub-group ops, those at the instruction that comes first
//! in the code are the active lanes and go on together, so that lanes inside a loop or branch catch up with
//! those behind it. When nobody waits at a sub-group op, all must wait at the same barrier and pass it.

use super::code::Step;
use super::fault::{Checked, Fault, FaultKind, malformed};
use super::machine::{Grid, Machine, local};
use super::run::{Stop, run};
use super::stack::{Item, Library, Position};
use super::value::Val;
use super::{Ended, Thrown};
use crate::entity::Func;
use crate::limits::MAX_GROUP_ITEMS;
use crate::op::Op;
use crate::semantics::{reduce_op, vector::reduce};

/// Runs a kernel over a grid of groups.
pub(super) fn launch(
    library: &Library,
    machine: &mut Machine,
    func: Func,
    groups: [u32; 3],
    block: [u32; 3],
    args: &[Val],
) -> Result<Ended, Fault> {
    let count = block.iter().fold(1u64, |product, &size| product.saturating_mul(size.into()));
    if count > MAX_GROUP_ITEMS {
        let [x, y, z] = block;
        let text = format!("a block of {x} x {y} x {z} work-items; the most is {MAX_GROUP_ITEMS}");
        return Err(Fault { kind: Box::new(FaultKind::BadArguments(text.into())), location: None });
    }
    if count == 0 || groups.contains(&0) {
        return Ok(Ended::Returned(Vec::new()));
    }
    let mut items: Vec<Item> = (0..count as u32).map(Item::new).collect();
    let mut group = [0; 3];
    let outcome = loop {
        machine.grid = Some(Grid { groups, block, group });
        let outcome = run_group(library, machine, &mut items, func, args);
        items.iter_mut().for_each(|item| item.clear(machine));
        for (_, address) in machine.shared.drain() {
            machine.memory.release(address);
        }
        match outcome {
            Ok(None) if next(&mut group, groups) => {}
            Ok(None) => break Ok(Ended::Returned(Vec::new())),
            Ok(Some(thrown)) => break Ok(Ended::Threw(thrown)),
            Err(fault) => break Err(fault),
        }
    };
    machine.grid = None;
    outcome
}

/// The next group, x fastest; whether there is one.
fn next(group: &mut [u32; 3], groups: [u32; 3]) -> bool {
    for (at, size) in group.iter_mut().zip(groups) {
        *at += 1;
        if *at < size {
            return true;
        }
        *at = 0;
    }
    false
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum State {
    Runs,
    Waits,
    Returned,
}

fn run_group(
    library: &Library,
    machine: &mut Machine,
    items: &mut [Item],
    func: Func,
    args: &[Val],
) -> Result<Option<Thrown>, Fault> {
    machine.order(true);
    let mut states = vec![State::Runs; items.len()];
    let mut started = false;
    loop {
        for (item, state) in items.iter_mut().zip(&mut states) {
            if *state != State::Runs {
                continue;
            }
            machine.memory.actor.item = item.linear;
            if !started {
                item.start(library, machine, func, args).map_err(|kind| Fault { kind, location: None })?;
            }
            *state = match run(library, machine, item)? {
                Stop::Returned(_) => State::Returned,
                Stop::Waits => State::Waits,
                Stop::Threw(thrown) => {
                    let place = machine.grid.map(|grid| (grid.group, local(item.linear, grid.block)));
                    return Ok(Some(Thrown { item: place, ..thrown }));
                }
            };
        }
        started = true;
        let Some(first) = states.iter().position(|&state| state == State::Waits) else { return Ok(None) };
        let size = machine.subgroup_size.max(1) as usize;
        let mut moved = false;
        for start in (0..items.len()).step_by(size) {
            let end = (start + size).min(items.len());
            match subgroup(library, machine, &mut items[start..end], &mut states[start..end]) {
                Ok(any) => moved |= any,
                Err(kind) => return Err(Fault { kind, location: library.location(&items[start]) }),
            }
        }
        if !moved {
            // Whoever waits first is where the fault is reported.
            let passed = barrier(items, &mut states);
            passed.map_err(|kind| Fault { kind, location: library.location(&items[first]) })?;
            machine.order(true);
        }
    }
}

/// Lets all items pass the barrier at which they wait.
fn barrier(items: &mut [Item], states: &mut [State]) -> Checked<()> {
    let mut place: Option<Position> = None;
    for (item, state) in items.iter_mut().zip(states) {
        if *state != State::Waits {
            continue;
        }
        if *place.get_or_insert(item.position()) != item.position() {
            return Err(Box::new(FaultKind::BarrierDivergence));
        }
        item.resume(None);
        *state = State::Runs;
    }
    Ok(())
}

/// Lets the lanes of one sub-group that wait at the first of its sub-group ops go on. Whether there are any.
fn subgroup(
    library: &Library,
    machine: &mut Machine,
    items: &mut [Item],
    states: &mut [State],
) -> Checked<bool> {
    let mut waiting: Vec<(Position, usize)> = Vec::new();
    for (lane, item) in items.iter().enumerate() {
        if states[lane] == State::Waits && matches!(item.step(library)?.1, Step::Subgroup { .. }) {
            waiting.push((item.position(), lane));
        }
    }
    let Some(&(place, leader)) = waiting.iter().min() else { return Ok(false) };
    let lanes: Vec<usize> = waiting.iter().filter(|entry| entry.0 == place).map(|entry| entry.1).collect();
    let (code, step) = items[leader].step(library)?;
    let &Step::Subgroup { op, ty, value, lane, dest } = step else { return malformed("not a sub-group op") };
    let mut values = vec![None; items.len()];
    for &n in &lanes {
        values[n] = Some(items[n].bits(code, value));
    }
    let active: Vec<u128> = lanes.iter().filter_map(|&n| values[n]).collect();
    let common = match op {
        Op::SubgroupBarrier => {
            machine.order(true);
            None
        }
        Op::SubgroupAny => Some(u128::from(active.iter().any(|&bits| bits & 1 != 0))),
        Op::SubgroupAll => Some(u128::from(active.iter().all(|&bits| bits & 1 != 0))),
        Op::SubgroupBallot => {
            let votes = lanes.iter().filter(|&&n| n < 64 && values[n].is_some_and(|bits| bits & 1 != 0));
            Some(votes.fold(0, |ballot, &n| ballot | 1 << n))
        }
        _ => reduce_op(op).and_then(|op| reduce(op, ty, &active)),
    };
    for &n in &lanes {
        let operand = items[n].bits(code, lane) as u32;
        let own = n as u32;
        // The lane to take the value from; none for ops that take it from all.
        let source = match op {
            Op::SubgroupShuffle => Some(operand),
            Op::SubgroupShuffleXor => Some(own ^ operand),
            Op::SubgroupShuffleUp => Some(own.wrapping_sub(operand)),
            Op::SubgroupShuffleDown => Some(own.wrapping_add(operand)),
            _ => None,
        };
        let taken = source.map(|source| values.get(source as usize).copied().flatten());
        let result = match taken {
            Some(taken) => taken.or(values[n]),
            None => common,
        };
        items[n].resume(result.map(|bits| (dest, bits)));
        states[n] = State::Runs;
    }
    Ok(true)
}
