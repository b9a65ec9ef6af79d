//! In which block of statements the nodes of a plan stand: a value is seen in the one that it is made in, and inside it.

use super::events::Event;
use crate::spirv::structure::graph::{Graph, Node};

/// In which block of statements each node stands.
pub(super) struct Scopes {
    of_node: Vec<u32>,
    /// First and last number inside each block of statements: those numbered later are inside.
    end: Vec<u32>,
}

impl Scopes {
    pub(super) fn new(graph: &Graph, list: &[Event]) -> Scopes {
        let mut scopes = Scopes { of_node: vec![0; graph.origins.len()], end: vec![u32::MAX] };
        // Open blocks of statements; selections have none until their first arm.
        let mut stack: Vec<u32> = vec![0];
        let mut selections: Vec<bool> = Vec::new();
        for event in list {
            match *event {
                Event::Code(node) => {
                    if let (Some(place), Some(&top)) = (scopes.of_node.get_mut(node as usize), stack.last()) {
                        *place = top;
                    }
                }
                Event::Select(_) | Event::Guard(_) => selections.push(false),
                Event::Arm => {
                    if let Some(opened) = selections.last_mut()
                        && std::mem::replace(opened, true)
                    {
                        scopes.close(&mut stack);
                    }
                    scopes.open(&mut stack);
                }
                Event::Close => {
                    let opened = selections.pop() == Some(true);
                    if opened {
                        scopes.close(&mut stack);
                    }
                }
                Event::Loop => scopes.open(&mut stack),
                Event::CloseLoop => scopes.close(&mut stack),
                _ => {}
            }
        }
        scopes
    }

    fn open(&mut self, stack: &mut Vec<u32>) {
        stack.push(self.end.len() as u32);
        self.end.push(u32::MAX);
    }

    fn close(&mut self, stack: &mut Vec<u32>) {
        let count = self.end.len() as u32;
        if let Some(top) = stack.pop()
            && let Some(end) = self.end.get_mut(top as usize)
        {
            *end = count;
        }
    }

    /// Whether what one node makes is visible in another one.
    pub(super) fn sees(&self, node: Node, maker: u32) -> bool {
        let scope = |node: u32| self.of_node.get(node as usize).copied().unwrap_or(0);
        let (inner, outer) = (scope(node), scope(maker));
        outer <= inner && self.end.get(outer as usize).is_some_and(|&end| inner < end)
    }
}
