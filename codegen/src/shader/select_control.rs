//! Selection of control flow: statements nested as the [events] of a structuring plan say.
//!
//! Parameters of blocks live in variables, and so do values that are used outside the block of statements in which they are
//! made. `break` inside a `switch` leaves only that, so a loop that is left from inside one has a variable that says so.

use super::events::{Event, events};
use super::internal;
use super::module::{U32, held};
use super::scopes::Scopes;
use super::select::{Expr, Open, Selector};
use crate::error::EmitError;
use crate::spirv::structure::Structurer;
use crate::spirv::structure::graph::{Graph, Node, Origin};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::{Block, Inst, Switch, Value};
use marquetry_ir::limits::MAX_SHADER_NESTING;
use marquetry_ir::op::Op as IrOp;
use naga::{
    BinaryOperator as Binary, Block as Statements, Expression, Handle, LocalVariable, Statement, SwitchCase,
    SwitchValue,
};

/// A construct that is open.
enum Frame {
    If {
        condition: Expr,
        arms: Vec<Statements>,
    },
    Switch {
        selector: Expr,
        values: Vec<SwitchValue>,
        arms: Vec<Statements>,
        left: bool,
    },
    /// With the variable that says that it is left, if a switch inside needs one.
    Loop {
        leave: Option<Handle<LocalVariable>>,
    },
}

/// What control flow needs while a function is emitted.
struct Flow<'a> {
    graph: &'a Graph,
    cfg: &'a ControlFlow,
    told_apart: &'a [bool],
    /// Where control goes next, and where it goes from a dispatch.
    exit: Option<Handle<LocalVariable>>,
    state: Option<Handle<LocalVariable>>,
    frames: Vec<Frame>,
}

impl Selector<'_, '_> {
    /// Emits all blocks.
    pub(super) fn control(&mut self, cfg: &ControlFlow) -> Result<(), EmitError> {
        let (mut graph, mut structurer) = (Graph::default(), Structurer::default());
        graph.compute(self.body, cfg);
        let plan =
            structurer.plan(&graph).ok_or_else(|| internal("control flow that cannot be structured"))?;
        if plan.depth > MAX_SHADER_NESTING {
            return Err(EmitError::limit("nested statements", MAX_SHADER_NESTING as u64, plan.depth as u64));
        }
        let list = events(plan)?;
        self.block_variables(cfg)?;
        self.moved_values(&graph, &list)?;
        let exit = plan.told_apart.contains(&true).then(|| self.local("exit", None, U32));
        let state = graph.dispatches.then(|| self.local("state", None, U32));
        let told_apart = &plan.told_apart;
        let mut flow = Flow { graph: &graph, cfg, told_apart, exit, state, frames: Vec::new() };
        for &event in &list {
            self.event(&mut flow, event)?;
        }
        // The languages want to see every path return.
        if self.open.last().is_some_and(|open| !open.left) {
            self.return_zero()?;
        }
        Ok(())
    }

    /// Variables for the parameters of blocks; those of the entry block, if it is jumped to, hold the arguments at first.
    fn block_variables(&mut self, cfg: &ControlFlow) -> Result<(), EmitError> {
        let body = self.body;
        for &block in cfg.reverse_post_order() {
            let entry = Some(block) == body.entry();
            if entry && cfg.predecessors(block).is_empty() {
                continue;
            }
            for &param in body.block_params(block) {
                let argument = self.values.get(param.as_u32() as usize).copied().flatten();
                let variable = self.variable_of(param)?;
                if let Some(argument) = argument.filter(|_| entry) {
                    self.store_local(variable, argument);
                }
            }
        }
        Ok(())
    }

    fn variable_of(&mut self, value: Value) -> Result<Handle<LocalVariable>, EmitError> {
        let index = value.as_u32() as usize;
        if let Some(&Some(variable)) = self.variables.get(index) {
            return Ok(variable);
        }
        let scalar = held(self.body.value_type(value))?;
        let variable = self.local(&format!("p{index}"), None, scalar);
        if let Some(place) = self.variables.get_mut(index) {
            *place = Some(variable);
        }
        Ok(variable)
    }

    /// Finds the values that are used where the block of statements in which they are made has ended.
    fn moved_values(&mut self, graph: &Graph, list: &[Event]) -> Result<(), EmitError> {
        let body = self.body;
        let scopes = Scopes::new(graph, list);
        let mut maker = vec![u32::MAX; body.value_count()];
        for (node, origin) in graph.origins.iter().enumerate() {
            let Origin::Block(block) = *origin else { continue };
            let made = body.block_insts(block).flat_map(|inst| body.results(inst));
            for value in made.chain(body.block_params(block).iter().copied()) {
                maker[value.as_u32() as usize] = node as u32;
            }
        }
        let mut moved = Vec::new();
        for (node, origin) in graph.origins.iter().enumerate() {
            let Origin::Block(block) = *origin else { continue };
            for inst in body.block_insts(block) {
                body.visit_operands(inst, |value| {
                    let from = maker[value.as_u32() as usize];
                    let elsewhere = from != u32::MAX && from != node as u32;
                    if elsewhere && (graph.dispatches || !scopes.sees(node as Node, from)) {
                        moved.push(value);
                    }
                });
            }
        }
        for value in moved {
            // What a kernel gets is good everywhere.
            let argument = self.values.get(value.as_u32() as usize).copied().flatten().is_some();
            if !argument || self.variables.get(value.as_u32() as usize).copied().flatten().is_some() {
                self.variable_of(value)?;
                if let Some(flag) = self.loaded.get_mut(value.as_u32() as usize) {
                    *flag = true;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, flow: &mut Flow<'_>, event: Event) -> Result<(), EmitError> {
        match event {
            Event::Code(node) => self.code(flow, node),
            Event::Leave(node) => self.leave(flow, node),
            Event::Edge(node, edge) => self.edge(flow, node, edge),
            Event::SetExit(node) => {
                if flow.told_apart.get(node as usize) == Some(&true)
                    && let Some(exit) = flow.exit
                {
                    let number = self.word(node);
                    self.store_local(exit, number);
                }
                Ok(())
            }
            Event::Select(node) => self.selection(flow, node),
            Event::Guard(node) => {
                let condition = self.exit_is(flow, node)?;
                flow.frames.push(Frame::If { condition, arms: Vec::new() });
                Ok(())
            }
            Event::Arm => self.arm(flow),
            Event::Close => self.end_selection(flow),
            Event::Loop => {
                flow.frames.push(Frame::Loop { leave: None });
                self.open.push(Open::default());
                Ok(())
            }
            Event::CloseLoop => {
                let leave = match flow.frames.pop() {
                    Some(Frame::Loop { leave }) => leave,
                    _ => return Err(internal("a selection that ends as a loop")),
                };
                let body = self.close()?;
                if let Some(leave) = leave {
                    let no = self.truth(false);
                    self.store_local(leave, no);
                }
                self.push(Statement::Loop { body, continuing: Statements::new(), break_if: None });
                Ok(())
            }
            Event::Unless(node) => {
                let here = self.exit_is(flow, node)?;
                let reject = Statements::from_vec(vec![Statement::Break]);
                self.push(Statement::If { condition: here, accept: Statements::new(), reject });
                Ok(())
            }
            Event::Continue => {
                self.push(Statement::Continue);
                Ok(())
            }
            Event::Break => self.leave_loop(flow),
            Event::Unreachable => {
                if flow.frames.is_empty() {
                    self.return_zero()
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Leaves the innermost loop, and the switches in between.
    fn leave_loop(&mut self, flow: &mut Flow<'_>) -> Result<(), EmitError> {
        if self.inside_switch(flow)? {
            let leave = self.leave_variable(flow)?;
            let yes = self.truth(true);
            self.store_local(leave, yes);
        }
        self.push(Statement::Break);
        Ok(())
    }

    /// Whether there are switches inside the innermost loop, which are noted as left.
    fn inside_switch(&self, flow: &mut Flow<'_>) -> Result<bool, EmitError> {
        let mut inside = false;
        for frame in flow.frames.iter_mut().rev() {
            match frame {
                Frame::If { .. } => {}
                Frame::Switch { left, .. } => {
                    *left = true;
                    inside = true;
                }
                Frame::Loop { .. } => return Ok(inside),
            }
        }
        Err(internal("a break outside of loops"))
    }

    /// The variable that says whether the innermost loop is left.
    fn leave_variable(&mut self, flow: &mut Flow<'_>) -> Result<Handle<LocalVariable>, EmitError> {
        let mut loops = flow.frames.iter_mut().rev().filter_map(|frame| match frame {
            Frame::Loop { leave } => Some(leave),
            _ => None,
        });
        let leave = loops.next().ok_or_else(|| internal("a break outside of loops"))?;
        Ok(*leave.get_or_insert_with(|| self.local("leave", None, naga::Scalar::BOOL)))
    }

    fn exit_is(&mut self, flow: &Flow<'_>, node: Node) -> Result<Expr, EmitError> {
        let exit = flow.exit.ok_or_else(|| internal("a destination that nothing stores"))?;
        let (held, wanted) = (self.load_local(exit), self.word(node));
        Ok(self.binary(Binary::Equal, held, wanted))
    }

    fn block_of(&self, flow: &Flow<'_>, node: Node) -> Result<Option<Block>, EmitError> {
        match flow.graph.origins.get(node as usize) {
            Some(Origin::Block(block)) => Ok(Some(*block)),
            Some(Origin::Dispatch(_)) => Ok(None),
            None => Err(internal("a node that does not exist")),
        }
    }

    fn terminator(&self, block: Block) -> Result<Inst, EmitError> {
        self.body.terminator(block).ok_or_else(|| internal(&format!("{block} has no terminator")))
    }

    fn code(&mut self, flow: &Flow<'_>, node: Node) -> Result<(), EmitError> {
        let Some(block) = self.block_of(flow, node)? else { return Ok(()) };
        let body = self.body;
        for &param in body.block_params(block) {
            let index = param.as_u32() as usize;
            if let Some(&Some(variable)) = self.variables.get(index)
                && self.loaded.get(index) != Some(&true)
            {
                let loaded = self.load_local(variable);
                if let Some(place) = self.values.get_mut(index) {
                    *place = Some(loaded);
                }
            }
        }
        let last = self.terminator(block)?;
        for inst in body.block_insts(block).take_while(|&inst| inst != last) {
            self.inst(inst)?;
        }
        Ok(())
    }

    fn leave(&mut self, flow: &Flow<'_>, node: Node) -> Result<(), EmitError> {
        let block = self.block_of(flow, node)?.ok_or_else(|| internal("a dispatch without destinations"))?;
        let inst = self.terminator(block)?;
        match self.body.inst(inst).op {
            IrOp::Return => {
                let values = self.operands(inst)?;
                self.return_values(values)
            }
            IrOp::Unreachable => self.return_zero(),
            op => Err(internal(&format!("'{op}' leaves the function"))),
        }
    }

    fn return_values(&mut self, components: Vec<Expr>) -> Result<(), EmitError> {
        let source = self.source;
        let value = match (self.state.result_type(&source.signature.results)?, components.as_slice()) {
            (None, _) => None,
            (Some(_), &[one]) => Some(one),
            (Some(ty), _) => Some(self.expr(Expression::Compose { ty, components })),
        };
        self.push(Statement::Return { value });
        Ok(())
    }

    fn return_zero(&mut self) -> Result<(), EmitError> {
        let source = self.source;
        let ty = self.state.result_type(&source.signature.results)?;
        let value = ty.map(|ty| self.fixed(Expression::ZeroValue(ty)));
        self.push(Statement::Return { value });
        Ok(())
    }

    /// Stores what an edge passes, and where it goes if that takes a dispatch.
    fn edge(&mut self, flow: &Flow<'_>, node: Node, edge: u32) -> Result<(), EmitError> {
        let Some(block) = self.block_of(flow, node)? else { return Ok(()) };
        let body = self.body;
        let call = body.successors(block).get(edge as usize).copied();
        let call = call.ok_or_else(|| internal("an edge that does not exist"))?;
        let to = body.target_block(call);
        let values: Result<Vec<Expr>, EmitError> =
            body.target_args(call).iter().map(|&arg| self.value(arg)).collect();
        for (&param, value) in body.block_params(to).iter().zip(values?) {
            let variable = self.variable_of(param)?;
            self.store_local(variable, value);
        }
        let via = flow.graph.successors(node).get(edge as usize).copied();
        if let Some(via) = via
            && self.block_of(flow, via)?.is_none()
            && let Some(state) = flow.state
        {
            let number = self.word(flow.cfg.position(to).unwrap_or(0) as u32);
            self.store_local(state, number);
        }
        Ok(())
    }

    fn selection(&mut self, flow: &mut Flow<'_>, node: Node) -> Result<(), EmitError> {
        let frame = match flow.graph.origins.get(node as usize) {
            Some(Origin::Block(block)) => {
                let inst = self.terminator(*block)?;
                let data = self.body.inst(inst);
                let condition =
                    self.operands(inst)?.first().copied().ok_or_else(|| internal("a branch on nothing"))?;
                match data.op {
                    IrOp::Branch => Frame::If { condition, arms: Vec::new() },
                    IrOp::Switch => {
                        let cases = self.body.switch_cases(Switch::from_u32(data.imm));
                        let values = std::iter::once(SwitchValue::Default)
                            .chain(cases.iter().map(|&case| SwitchValue::U32(case as u32)))
                            .collect();
                        let selector = if self.arg_type(inst, 0).bits() == Some(1) {
                            let (one, zero) = (self.word(1), self.word(0));
                            self.select(condition, one, zero)
                        } else {
                            condition
                        };
                        Frame::Switch { selector, values, arms: Vec::new(), left: false }
                    }
                    op => return Err(internal(&format!("'{op}' with several edges"))),
                }
            }
            Some(Origin::Dispatch(entries)) => {
                let state = flow.state.ok_or_else(|| internal("a dispatch without variable"))?;
                let selector = self.load_local(state);
                let mut values: Vec<SwitchValue> = entries.iter().map(|&n| SwitchValue::U32(n)).collect();
                // Nothing else is ever stored.
                if let Some(last) = values.last_mut() {
                    *last = SwitchValue::Default;
                }
                Frame::Switch { selector, values, arms: Vec::new(), left: false }
            }
            None => return Err(internal("a node that does not exist")),
        };
        flow.frames.push(frame);
        Ok(())
    }

    /// Ends the arm that is open, if there is one.
    fn end_arm(&mut self, frame: &mut Frame, opened: usize) -> Result<(), EmitError> {
        let (Frame::If { arms, .. } | Frame::Switch { arms, .. }) = frame else {
            return Err(internal("an arm of a loop"));
        };
        if opened > 0 {
            arms.push(self.close()?);
        }
        Ok(())
    }

    fn arm(&mut self, flow: &mut Flow<'_>) -> Result<(), EmitError> {
        let depth = flow.frames.len();
        let opened = self.open.len().saturating_sub(depth);
        let frame = flow.frames.last_mut().ok_or_else(|| internal("an arm of nothing"))?;
        self.end_arm(frame, opened)?;
        self.open.push(Open::default());
        Ok(())
    }

    fn end_selection(&mut self, flow: &mut Flow<'_>) -> Result<(), EmitError> {
        let opened = self.open.len().saturating_sub(flow.frames.len());
        let mut frame = flow.frames.pop().ok_or_else(|| internal("the end of nothing"))?;
        self.end_arm(&mut frame, opened)?;
        match frame {
            Frame::If { condition, arms } => {
                let mut arms = arms.into_iter();
                let (accept, reject) = (arms.next().unwrap_or_default(), arms.next().unwrap_or_default());
                self.push(Statement::If { condition, accept, reject });
            }
            Frame::Switch { selector, values, arms, left } => {
                let case = |(value, body)| SwitchCase { value, body, fall_through: false };
                let mut cases: Vec<SwitchCase> = values.into_iter().zip(arms).map(case).collect();
                // The default comes last, as people write it.
                if let Some(at) = cases.iter().position(|case| case.value == SwitchValue::Default) {
                    let default = cases.remove(at);
                    cases.push(default);
                }
                self.push(Statement::Switch { selector, cases });
                if left {
                    self.leave_further(flow)?;
                }
            }
            Frame::Loop { .. } => return Err(internal("a loop that ends as a selection")),
        }
        Ok(())
    }

    /// After a switch from which a loop is left: on, out of the loop.
    fn leave_further(&mut self, flow: &mut Flow<'_>) -> Result<(), EmitError> {
        self.inside_switch(flow)?;
        let leave = self.leave_variable(flow)?;
        let condition = self.load_local(leave);
        let accept = Statements::from_vec(vec![Statement::Break]);
        self.push(Statement::If { condition, accept, reject: Statements::new() });
        Ok(())
    }
}
