//! `marq devices`: what this machine can run on.

use super::{CliResult, output};
use crate::device::{Probe, probe};
use crate::engine::EngineKind;
use clap::Args;
use marquetry_lower::job::OptLevel;

/// List what this machine can run on
#[derive(Args, Debug)]
pub(super) struct Devices {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(super) fn run(self) -> CliResult {
        let mut text = String::new();
        let mut rows = Vec::new();
        for kind in EngineKind::ALL {
            match kind {
                EngineKind::Device(kind) => {
                    probe(kind).iter().for_each(|found| describe(found, &mut text, &mut rows))
                }
                kind => {
                    let name = kind.name();
                    let reason = kind.open(OptLevel::None).err();
                    let what = reason
                        .as_ref()
                        .map_or(kind.description().into(), |reason| format!("absent: {reason}"));
                    text += &format!("{name:<8} {what}\n");
                    rows.push(
                        serde_json::json!({ "kind": name, "present": reason.is_none(), "reason": reason }),
                    );
                }
            }
        }
        if self.json {
            text = format!("{:#}\n", serde_json::Value::Array(rows));
        }
        output::print(text.as_bytes())
    }
}

fn describe(found: &Probe, text: &mut String, rows: &mut Vec<serde_json::Value>) {
    match found {
        Probe::Found(device) => {
            let info = device.info();
            let kind = info.kind;
            *text += &format!("{kind:<8} {} ({})\n", info.name, info.driver);
            *text += &format!(
                "         {} work-items per group, {} bytes shared",
                info.max_block, info.shared_bytes
            );
            *text += &format!(", sub-groups of {}\n         {}\n", info.subgroup_size, info.features);
            rows.push(serde_json::json!({
                "kind": kind.name(),
                "present": true,
                "name": info.name,
                "driver": info.driver,
                "max_block": info.max_block,
                "shared_bytes": info.shared_bytes,
                "subgroup_size": info.subgroup_size,
                "features": info.features.list().iter().filter(|f| f.1).map(|f| f.0).collect::<Vec<_>>(),
            }));
        }
        Probe::Absent { kind, reason } => {
            *text += &format!("{kind:<8} absent: {reason}\n");
            rows.push(serde_json::json!({ "kind": kind.name(), "present": false, "reason": reason }));
        }
    }
}
