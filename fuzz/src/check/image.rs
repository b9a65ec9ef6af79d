//! Images with some bytes changed: refused, or read without a panic. Nothing of them is executed.

use super::Checked;
use crate::generate::choices::Choices;
use crate::print::Bug;
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::compile::Target;
use marquetry::image::{HostSymbol, Image, seal};
use marquetry::session::{Backend, Session};
use marquetry_lower::job::OptLevel;
use std::sync::OnceLock;

/// Something of everything that images hold.
const TEXT: &str = include_str!("../../../tests/tests/images/program.mq");

/// An image, and the session that made it.
struct Original {
    session: Session,
    bytes: Vec<u8>,
}

fn original() -> Result<&'static Original, Bug> {
    static ORIGINAL: OnceLock<Result<Original, String>> = OnceLock::new();
    let made = ORIGINAL.get_or_init(|| make().map_err(|error| error.to_string()));
    made.as_ref().map_err(|error| Bug::new("no image of a program", error.clone(), TEXT))
}

fn make() -> Result<Original, Box<dyn std::error::Error>> {
    let session = Session::new();
    let target = || Target::parse("native", OptLevel::Default);
    let native = session.add_backend(Backend::new("native", target()?))?;
    let cpu = session.add_backend(Backend::cpu_device("cpu", target()?))?;
    session.define("image.mq", TEXT)?;
    let functions =
        ["fib", "first_of", "same(pair)", "closures", "letter", "next", "calls_host", "refused_within"];
    let functions = functions.map(|name| session.job(name, &native));
    let kernels = ["reversed", "checked"].map(|name| session.job(name, &cpu));
    let jobs = functions.into_iter().chain(kernels).collect::<Result<Vec<_>, _>>()?;
    let bytes = session.image(&jobs)?;
    Ok(Original { session, bytes })
}

/// Numbers that are at the edge of something.
const EDGES: [u64; 12] =
    [0, 1, 7, 24, 64, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];

/// Changes bytes, mostly those that are no code, and reads what comes of it.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    let Original { session, bytes: whole } = original()?;
    let choices = &mut Choices::new(input);
    let mut bytes = whole.clone();
    let tables = whole.len().min(8192);
    for _ in 0..=choices.below(6) {
        let reach = if choices.below(4) == 0 { whole.len() } else { tables };
        let at = choices.below(reach);
        let edge = EDGES[choices.below(EDGES.len())];
        let new = match choices.below(5) {
            0 => vec![choices.below(256) as u8],
            1 => edge.to_le_bytes()[..4].to_vec(),
            2 => edge.to_le_bytes().to_vec(),
            3 => (choices.below(whole.len()) as u32).to_le_bytes().to_vec(),
            _ => {
                let from = choices.below(tables);
                whole.get(from..from + 8).unwrap_or_default().to_vec()
            }
        };
        // Numbers stand where their size says.
        let at = at / new.len().max(1) * new.len().max(1);
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(&new);
        }
    }
    if choices.below(8) == 0 {
        bytes.truncate(choices.below(whole.len()));
    }
    if choices.below(16) != 0 {
        seal(&mut bytes);
    }
    let resolve = |_: &HostSymbol<'_>| Ok(std::ptr::dangling::<u8>());
    let Ok(image) = Image::from_bytes(&bytes).and_then(|image| image.link(&resolve)) else {
        return Ok(Verdict::Refused);
    };
    // Reads the details of every entry and compares them with the program.
    match session.stale(&image) {
        Err(_) => Ok(Verdict::Refused),
        Ok(stale) if bytes == *whole && !stale.is_empty() => {
            Err(Bug::new("an image does not match its own program", format!("{stale:?}"), TEXT))
        }
        Ok(_) => Ok(Verdict::Agreed),
    }
}
