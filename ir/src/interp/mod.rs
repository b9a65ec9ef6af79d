//! The reference interpreter: what a unit means, at any stage of its compilation.
//!
//! Control keeps its own stack, fuel bounds time, a limit bounds memory, and every access is checked, so that a
//! unit that passed verification either ends as the language says or with a [`Fault`] that says where and why. Code
//! that did not pass verification ends with [`FaultKind::Malformed`] at the latest where control meets it.
//!
//! A run is deterministic: work-items take turns in a fixed order, and `clock` counts instructions.

mod value;
mod fault;
mod race;
mod memory;
mod code;
mod prepare;
mod prepare_control;
mod machine;
mod slots;
mod stack;
mod run;
mod launch;

pub use fault::{Fault, FaultKind, Location, MAX_BACKTRACE};
pub use memory::Memory;
pub use value::Val;

use crate::entity::Func;
use crate::limits::{DEFAULT_FUEL, DEFAULT_MEMORY_BYTES};
use crate::print_format::Printed;
use crate::program::{MethodKind, NoHost, Resolve};
use crate::types::Type;
use crate::unit::Unit;
use machine::Machine;
use run::Stop;
use rustc_hash::FxHashMap;
use stack::{Item, Library};
use std::sync::Arc;

/// How much a run may use, and what it checks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Most instructions of one call or launch; those that move many bytes count for one more per 64 bytes.
    pub fuel: u64,
    /// Most bytes of memory alive at a time.
    pub memory: u64,
    /// Lanes of a full sub-group.
    pub subgroup_size: u32,
    /// Whether accesses to shared memory are checked for data races.
    pub races: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { fuel: DEFAULT_FUEL, memory: DEFAULT_MEMORY_BYTES, subgroup_size: 32, races: true }
    }
}

/// How a call or launch ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The function returned these; a kernel returns nothing.
    Returned(Vec<Val>),
    /// It threw.
    Threw(Thrown),
}

/// An exception on its way to the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thrown {
    /// Which exception.
    pub kind: Arc<str>,
    /// What the `throw` says besides, its operands put in.
    pub reason: Option<Arc<str>>,
    /// Type and bits of each operand.
    pub operands: Vec<(Type, u64)>,
    /// The instruction that threw.
    pub location: Option<Location>,
    /// In a launch, the group and the place in it of the work-item that threw.
    pub item: Option<([u32; 3], [u32; 3])>,
}

/// A function of the host: takes the program's memory and arguments, gives as many results as its signature has,
/// or a message why it failed.
pub type HostFn = Box<dyn Fn(&mut Memory, &[Val]) -> Result<Vec<Val>, String> + Send>;

/// An interpreter of one unit. Memory and globals live as long as it does.
pub struct Interp<'u> {
    library: Library<'u>,
    machine: Machine,
    config: Config,
}

impl<'u> Interp<'u> {
    /// An interpreter with fresh memory.
    pub fn new(unit: &'u Unit, config: Config) -> Self {
        let machine = Machine {
            memory: Memory::new(config.memory),
            externs: FxHashMap::default(),
            globals: FxHashMap::default(),
            shared: FxHashMap::default(),
            host: Arc::new(NoHost),
            names: FxHashMap::default(),
            fuel: 0,
            ticks: 0,
            stack_values: 0,
            grid: None,
            races: config.races,
            subgroup_size: config.subgroup_size.max(1),
            inputs: FxHashMap::default(),
            printed: Vec::new(),
        };
        Interp { library: Library::new(unit), machine, config }
    }

    /// Supplies the function behind a link name.
    pub fn define_extern(&mut self, link_name: &str, function: HostFn) {
        self.machine.externs.insert(link_name.into(), function);
    }

    /// Supplies the words of slots. A global keeps those that it was given when it was first used.
    pub fn set_host(&mut self, host: Arc<dyn Resolve>) {
        self.machine.host = host;
    }

    /// Supplies what `kernel_input` gives for a name.
    pub fn define_input(&mut self, name: &str, value: Val) {
        self.machine.inputs.insert(name.into(), value);
    }

    /// What was printed since this was last asked, oldest first.
    pub fn take_printed(&mut self) -> Vec<Printed> {
        std::mem::take(&mut self.machine.printed)
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.machine.memory
    }

    /// The memory, to allocate and write buffers.
    pub fn memory_mut(&mut self) -> &mut Memory {
        &mut self.machine.memory
    }

    /// Instructions, as fuel counts them, that all calls and launches so far ran.
    pub fn steps(&self) -> u64 {
        self.machine.ticks.wrapping_sub(self.machine.fuel)
    }

    fn refuel(&mut self) {
        // `ticks - fuel` counts on across calls.
        self.machine.ticks = self.steps().wrapping_add(self.config.fuel);
        self.machine.fuel = self.config.fuel;
    }

    fn check(&self, func: Func, args: &[Val]) -> Result<MethodKind, Fault> {
        let refuse =
            |text: String| Fault { kind: Box::new(FaultKind::BadArguments(text.into())), location: None };
        let unit = self.library.unit;
        let function = unit.funcs.get(func).ok_or_else(|| refuse(format!("{func} does not exist")))?;
        let params = &function.signature.params;
        if params.len() != args.len() {
            let (found, wanted) = (args.len(), params.len());
            return Err(refuse(format!("'{}' takes {wanted} arguments, found {found}", function.name)));
        }
        let misfit = args.iter().zip(params).position(|(arg, &ty)| !arg.fits(&unit.types, ty));
        match misfit {
            Some(n) => {
                let wanted = unit.types.display(params[n]);
                Err(refuse(format!("argument {} of '{}' is no {wanted}", n + 1, function.name)))
            }
            None => Ok(function.kind),
        }
    }

    /// Calls a function.
    ///
    /// # Errors
    /// The program did something that has no meaning, used up a limit, or is not well-formed.
    pub fn call(&mut self, func: Func, args: &[Val]) -> Result<Ended, Fault> {
        self.check(func, args)?;
        self.refuel();
        let (library, machine) = (&self.library, &mut self.machine);
        let mut item = Item::new(0);
        let started = item.start(library, machine, func, args);
        let outcome = match started {
            Ok(()) => run::run(library, machine, &mut item),
            Err(kind) => Err(Fault { kind, location: None }),
        };
        item.clear(machine);
        match outcome? {
            Stop::Returned(values) => Ok(Ended::Returned(values)),
            Stop::Threw(thrown) => Ok(Ended::Threw(thrown)),
            Stop::Waits => Err(Fault { kind: Box::new(FaultKind::NotInKernel), location: None }),
        }
    }

    /// Runs a kernel over a grid of groups of work-items. Fuel is for the whole launch. The first work-item that
    /// throws ends it.
    ///
    /// # Errors
    /// As [`Interp::call`]; or the function is no kernel, or a group has too many work-items.
    pub fn launch(
        &mut self,
        func: Func,
        groups: [u32; 3],
        block: [u32; 3],
        args: &[Val],
    ) -> Result<Ended, Fault> {
        if self.check(func, args)? != MethodKind::Kernel {
            let kind = Box::new(FaultKind::BadArguments("only kernels are launched".into()));
            return Err(Fault { kind, location: None });
        }
        self.refuel();
        launch::launch(&self.library, &mut self.machine, func, groups, block, args)
    }
}

#[cfg(test)]
mod tests;
