//! `marq devices`: what this machine can run on.

use super::{CliResult, output};
use crate::device::{DeviceKind, Probe, probe};
use clap::Args;

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
        for kind in DeviceKind::ALL {
            for found in probe(kind) {
                match found {
                    Probe::Found(device) => {
                        let info = device.info();
                        text += &format!("{kind:<8} {} ({})\n", info.name, info.driver);
                        text += &format!(
                            "         {} work-items per group, {} bytes shared",
                            info.max_block, info.shared_bytes
                        );
                        text +=
                            &format!(", sub-groups of {}\n         {}\n", info.subgroup_size, info.features);
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
                        text += &format!("{kind:<8} absent: {reason}\n");
                        rows.push(
                            serde_json::json!({ "kind": kind.name(), "present": false, "reason": reason }),
                        );
                    }
                }
            }
        }
        if self.json {
            text = format!("{:#}\n", serde_json::Value::Array(rows));
        }
        output::print(text.as_bytes())
    }
}
