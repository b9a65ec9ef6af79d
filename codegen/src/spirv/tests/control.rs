//! Control flow: the plan says what the graph says, and structured modules validate.

use super::super::structure::graph::{Graph, Node, Origin};
use super::super::structure::{Step, Structurer};
use super::*;
use marquetry_ir::entity::Func;
use std::fmt::Write;

/// A kernel whose blocks 0 to n-1 go where `edges` says: back to where they are told, or home.
/// With few blocks, each also uses what the blocks that dominate it have made.
fn kernel(edges: &[Vec<usize>]) -> String {
    let dominators = dominators(edges);
    let mut s = String::from("kernel k(x: ptr<global>, n: i32) {\nentry:\n    jump b0(n)\n");
    for (block, to) in edges.iter().enumerate() {
        let _ = write!(
            s,
            "b{block}(a{block}: i32):\n    c{block} = add a{block}, i32 {block}\n    store x, c{block}\n"
        );
        for &other in dominators.get(block).into_iter().flatten() {
            let _ =
                write!(s, "    u{block}_{other} = xor c{block}, c{other}\n    store x, u{block}_{other}\n");
        }
        let arg = |to: &usize| format!("b{to}(c{block})");
        let _ = match to.as_slice() {
            [] => writeln!(s, "    return"),
            [one] => writeln!(s, "    jump {}", arg(one)),
            [a, b] => {
                writeln!(s, "    z{block} = eq c{block}, n\n    branch z{block}, {}, {}", arg(a), arg(b))
            }
            [first, rest @ ..] => {
                let cases: Vec<String> =
                    rest.iter().enumerate().map(|(n, to)| format!("{n}: {}", arg(to))).collect();
                writeln!(s, "    switch c{block}, {}, [{}]", arg(first), cases.join(", "))
            }
        };
    }
    s.push_str("}\n");
    s
}

/// The blocks that strictly dominate each reachable block, for graphs of up to 64 blocks.
fn dominators(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let count = edges.len();
    if count > 64 {
        return Vec::new();
    }
    let mut sets = vec![u64::MAX; count];
    loop {
        let mut next = vec![u64::MAX; count];
        next[0] = 1;
        for (from, to) in edges.iter().enumerate().filter(|&(from, _)| sets[from] != u64::MAX || from == 0) {
            let through = if from == 0 { 1 } else { sets[from] };
            to.iter().filter(|&&t| t != 0).for_each(|&t| next[t] &= through | 1 << t);
        }
        if next == sets {
            break;
        }
        sets = next;
    }
    let strict = |block: usize| (0..count).filter(move |&b| b != block && b < 64);
    (0..count)
        .map(|block| {
            strict(block).filter(|&b| sets[block] != u64::MAX && sets[block] >> b & 1 == 1).collect()
        })
        .collect()
}

fn random_edges(seed: u64) -> Vec<Vec<usize>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % limit
    };
    let count = 2 + below(14);
    (0..count)
        .map(|block| {
            let arms = [0, 1, 1, 2, 2, 2, 3, 4][below(8)];
            let near = |n: usize| (block + n).saturating_sub(2).min(count - 1);
            (0..arms).map(|_| if below(3) == 0 { below(count) } else { near(below(6)) }).collect()
        })
        .collect()
}

/// Walks the graph and the plan side by side with the same choices; both must visit the same blocks.
fn walk(legal: &Legal, seed: u64) -> bool {
    let body = &legal.unit().funcs[Func::from_u32(0)].body;
    let mut cfg = ControlFlow::new();
    cfg.compute(body);
    let (mut graph, mut structurer) = (Graph::default(), Structurer::default());
    graph.compute(body, &cfg);
    let plan = structurer.plan(&graph).expect("every graph has a plan");
    let label_at = |label: u32| {
        let here = plan.steps.iter().position(|step| match *step {
            Step::Label(l) | Step::Next { next: l, .. } => l == label,
            Step::Loop { head, body, .. } => l_is(label, head, body),
            _ => false,
        });
        here.unwrap_or_else(|| panic!("no label {label}"))
    };
    let mut state = seed | 1;
    let (mut at, mut exit, mut variable) = (0usize, None, None::<Node>);
    let mut expected: Option<Node> = Some(0);
    for _ in 0..400 {
        let step = &plan.steps[at];
        at += 1;
        match *step {
            Step::Code(node) => {
                if matches!(graph.origins[node as usize], Origin::Block(_)) {
                    assert_eq!(expected.take(), Some(node), "in the plan");
                }
            }
            Step::Leave(_) => return graph.dispatches,
            Step::Edge(node, edge) => {
                if let Origin::Block(block) = graph.origins[node as usize] {
                    let call = body.successors(block)[edge as usize];
                    let to = cfg.position(body.target_block(call)).unwrap() as Node;
                    expected = Some(to);
                    variable = Some(to);
                }
            }
            Step::SetExit(node) => {
                if plan.told_apart[node as usize] {
                    exit = Some(node);
                }
            }
            Step::Select { node, arms, .. } => {
                let edges = graph.successors(node).len() as u32;
                let arm = match &graph.origins[node as usize] {
                    Origin::Dispatch(entries) => {
                        entries.iter().position(|&e| Some(e) == variable).expect("an entry") as u32
                    }
                    Origin::Block(_) => {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        (state >> 40) as u32 % edges
                    }
                };
                at = label_at(arms + arm);
            }
            Step::Label(_) => {}
            Step::Loop { .. } => {}
            Step::Next { head, .. } => at = label_at(head),
            Step::Goto(label) => at = label_at(label),
            Step::Guard { exit: node, then, merge } => {
                assert!(plan.told_apart[node as usize]);
                at = label_at(if exit == Some(node) { then } else { merge });
            }
            Step::Again { exit: node, next, merge } => {
                assert!(plan.told_apart[node as usize]);
                at = label_at(if exit == Some(node) { next } else { merge });
            }
            Step::Unreachable => panic!("control got to a place that was said to be unreachable"),
        }
    }
    graph.dispatches
}

fn l_is(label: u32, head: u32, body: u32) -> bool {
    label == head || label == body
}

#[test]
fn plans_go_where_graphs_go() {
    let target = SpirvTarget::vulkan();
    let mut irreducible = 0;
    for seed in 1..600 {
        let legal = legal(&kernel(&random_edges(seed)), &target);
        for choices in 1..20u64 {
            irreducible += u32::from(walk(&legal, seed * 1000 + choices));
        }
    }
    assert!(irreducible > 500, "only {irreducible} walks through irreducible graphs");
}

#[test]
fn graphs_of_any_shape_validate() {
    for target in [SpirvTarget::vulkan(), SpirvTarget::opencl()] {
        // Several kernels at once, because starting the validator takes longest.
        for seed in 0..12 {
            let mut source = String::new();
            for n in 1..40 {
                source.push_str(
                    &kernel(&random_edges(seed * 100 + n)).replace("kernel k", &format!("kernel k{n}")),
                );
            }
            module(&source, &target);
        }
    }
}

fn counts(edges: &[Vec<usize>]) -> (usize, usize) {
    let text = text_of(&kernel(edges), &SpirvTarget::vulkan());
    let loads = text.matches("OpIEqual").count();
    (text.matches("OpLoopMerge").count(), loads)
}

#[test]
fn usual_shapes_need_no_tests_of_the_variable() {
    // if-else with a join; a loop with one exit; nested loops; a loop with a break; a short-circuit in tail position.
    let own = |edges: &[Vec<usize>]| edges.iter().filter(|to| to.len() == 2).count();
    let shapes = [
        (0, vec![vec![1, 2], vec![3], vec![3], vec![]]),
        (1, vec![vec![1, 2], vec![0], vec![]]),
        (2, vec![vec![1, 4], vec![2, 3], vec![1], vec![0], vec![]]),
        (1, vec![vec![1, 3], vec![2, 3], vec![0], vec![]]),
        (0, vec![vec![1, 2], vec![2, 3], vec![], vec![]]),
    ];
    for (loops, edges) in shapes {
        assert_eq!(counts(&edges), (loops, own(&edges)), "{edges:?}");
    }
}

#[test]
fn deep_and_long_graphs_do_not_exhaust_the_stack() {
    let target = SpirvTarget::vulkan();
    let count = 5000;
    let chain: Vec<Vec<usize>> =
        (0..count).map(|n| if n + 2 < count { vec![n + 1, n + 2] } else { vec![] }).collect();
    emit(&legal(&kernel(&chain), &target), &target).unwrap();
    let depth = 300;
    let mut nest: Vec<Vec<usize>> = (0..depth).map(|n| vec![n + 1, 2 * depth - n]).collect();
    nest.extend((0..=depth).map(|n| if n == depth { vec![] } else { vec![depth - 1 - n] }));
    emit(&legal(&kernel(&nest), &target), &target).unwrap();
    // Each test stands in the arm of the one before: deeper than modules may nest.
    let arms: Vec<Vec<usize>> = (0..2000)
        .map(|n| if n < 1999 { vec![n + 1, 2000 + n] } else { vec![] })
        .chain((0..1999).map(|_| vec![]))
        .collect();
    let error = emit(&legal(&kernel(&arms), &target), &target).unwrap_err();
    assert!(
        matches!(
            error,
            EmitError::Limit(marquetry_lower::failure::Limit { limit: 1023, place: Some(_), .. })
        ),
        "{error}"
    );
    emit(&legal(&kernel(&arms), &SpirvTarget::opencl()), &SpirvTarget::opencl()).unwrap();
}

#[test]
fn loops_that_nothing_leaves_have_an_effect() {
    let barriers =
        |text: &str, target: &SpirvTarget| text_of(text, target).matches("OpMemoryBarrier").count();
    let text = |again: &str| {
        format!(
            "kernel k(p: ptr<global>) {{
             entry:
                 n = load.i32 p
                 jump loop(n)
             loop(i: i32):
                 j = add i, i32 2
                 c = eq j, i32 1
                 {again}
             done:
                 return
             other:
                 store p, i32 1
                 return
             }}
             "
        )
    };
    for (count, again) in
        [(1, "jump loop(j)"), (0, "branch c, done, loop(j)"), (0, "branch c, loop(j), other")]
    {
        assert_eq!(barriers(&text(again), &SpirvTarget::vulkan()), count, "{again}");
        assert_eq!(barriers(&text(again), &SpirvTarget::opencl()), 0, "{again}");
    }
}
