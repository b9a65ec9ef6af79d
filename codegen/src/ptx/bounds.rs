//! What every launch of a module's kernels keeps to, so that ptxas may give them more registers, or must give them
//! fewer (PTX ISA 11.4, "Performance-Tuning Directives").

use super::write::Writer;
use crate::error::EmitError;
use std::fmt;

/// Most threads of a group.
const MAX_THREADS: u32 = 1024;
/// Most threads of a group in each dimension.
const MAX_EXTENT: [u32; 3] = [1024, 1024, 64];
/// Most registers of a thread.
const MAX_REGISTERS: u32 = 255;
/// Most groups that a multiprocessor holds.
const MAX_GROUPS: u32 = 32;

/// Bounds of launches, for all kernels of a module.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bounds {
    /// Groups have at most this extent: `.maxntid`.
    pub max_group: Option<[u32; 3]>,
    /// Groups have exactly this extent: `.reqntid`.
    pub group: Option<[u32; 3]>,
    /// As many groups should fit on a multiprocessor: `.minnctapersm`. Wants the extent of a group.
    pub min_groups: Option<u32>,
    /// A thread has at most this many registers: `.maxnreg`.
    pub max_registers: Option<u32>,
}

impl Bounds {
    /// The bounds that a list of `NAME=VALUE` spells, separated by commas.
    ///
    /// # Errors
    /// It is no such list, or what it asks for is beyond what a GPU has.
    pub fn parse(list: &str) -> Result<Bounds, EmitError> {
        let mut bounds = Bounds::default();
        for item in list.split(',') {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let twice = match name {
                "maxntid" => bounds.max_group.replace(extent(name, value)?).is_some(),
                "reqntid" => bounds.group.replace(extent(name, value)?).is_some(),
                "minnctapersm" => bounds.min_groups.replace(number(name, value, MAX_GROUPS)?).is_some(),
                "maxnreg" => bounds.max_registers.replace(number(name, value, MAX_REGISTERS)?).is_some(),
                _ => {
                    let known = "maxntid, reqntid, minnctapersm or maxnreg";
                    return Err(EmitError::Target(format!(
                        "'{item}' is no bound of launches, expected {known} with '=' and a value"
                    )));
                }
            };
            if twice {
                return Err(EmitError::Target(format!("'{name}' is stated twice")));
            }
        }
        if bounds.min_groups.is_some() && bounds.max_group.is_none() && bounds.group.is_none() {
            let message = "'minnctapersm' needs 'maxntid' or 'reqntid' beside it";
            return Err(EmitError::Target(message.into()));
        }
        Ok(bounds)
    }

    /// Writes the directives of a kernel, each on a line of its own.
    pub(super) fn write(&self, out: &mut Writer) {
        let extents = [(".maxntid", self.max_group), (".reqntid", self.group)];
        for (directive, extent) in extents {
            let Some(extent) = extent else { continue };
            out.push(directive);
            for (separator, size) in [" ", ", ", ", "].iter().zip(extent) {
                out.push(separator);
                out.unsigned(u64::from(size));
            }
            out.push("\n");
        }
        let numbers = [(".minnctapersm ", self.min_groups), (".maxnreg ", self.max_registers)];
        for (directive, number) in numbers {
            let Some(number) = number else { continue };
            out.push(directive);
            out.unsigned(u64::from(number));
            out.push("\n");
        }
    }
}

/// As it is spelled behind the name of a target: a comma before each.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, extent) in [("maxntid", self.max_group), ("reqntid", self.group)] {
            if let Some([x, y, z]) = extent {
                write!(f, ",{name}={x}x{y}x{z}")?;
            }
        }
        for (name, number) in [("minnctapersm", self.min_groups), ("maxnreg", self.max_registers)] {
            if let Some(number) = number {
                write!(f, ",{name}={number}")?;
            }
        }
        Ok(())
    }
}

/// A size in up to three dimensions: `256`, `16x8`, `4x4x4`.
fn extent(name: &str, value: &str) -> Result<[u32; 3], EmitError> {
    let mut extent = [1; 3];
    let mut parts = value.split('x');
    let mut places = extent.iter_mut().zip(MAX_EXTENT);
    let good = parts.by_ref().take(3).all(|part| match (plain(part), places.next()) {
        (Some(size), Some((place, most))) if (1..=most).contains(&size) => {
            *place = size;
            true
        }
        _ => false,
    });
    if good && parts.next().is_none() && extent.iter().product::<u32>() <= MAX_THREADS {
        return Ok(extent);
    }
    let message = format!(
        "'{name}={value}' is no extent of a group, expected up to three sizes such as 16x8, of {MAX_THREADS} threads at most"
    );
    Err(EmitError::Target(message))
}

fn number(name: &str, value: &str, most: u32) -> Result<u32, EmitError> {
    plain(value).filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        EmitError::Target(format!("'{name}={value}' is wrong, expected a number from 1 to {most}"))
    })
}

/// Numbers have one spelling: no sign, no leading zero.
fn plain(text: &str) -> Option<u32> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_round_trip() {
        for text in ["maxntid=42x1x1", "reqntid=16x8x1", "maxntid=64x1x1,minnctapersm=2", "maxnreg=42"] {
            assert_eq!(Bounds::parse(text).map(|bounds| bounds.to_string()), Ok(format!(",{text}")));
        }
        let short = Bounds { max_group: Some([256, 1, 1]), ..Bounds::default() };
        assert_eq!(Bounds::parse("maxntid=256"), Ok(short));
    }

    #[test]
    fn what_no_gpu_has_is_an_error() {
        let wrong = [
            "",
            "maxntid",
            "maxntid=",
            "maxntid=0",
            "maxntid=1025",
            "maxntid=64x64",
            "maxntid=4294967295x4294967295",
            "maxntid=1x1x65",
            "maxntid=1x1x1x1",
            "maxntid=1,maxntid=1",
            "maxnreg=256",
            "maxnreg=+1",
            "maxnreg=01",
            "minnctapersm=2",
            "threads=2",
        ];
        for text in wrong {
            assert!(matches!(Bounds::parse(text), Err(EmitError::Target(_))), "{text}");
        }
    }
}
