//! Writes the device code of generated programs into a folder, for validators outside: `emit COUNT FOLDER [SEED]`.

use arbitrary::Unstructured;
use marquetry_fuzz::check::emit::artifacts;
use marquetry_fuzz::generate::choices::Choices;
use marquetry_fuzz::generate::methods::case;
use marquetry_fuzz::generate::random_bytes;
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, count, folder, rest @ ..] = args.as_slice() else {
        println!("emit COUNT FOLDER [SEED]");
        return;
    };
    let start: u64 = rest.first().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let folder = Path::new(folder);
    let _ = std::fs::create_dir_all(folder);
    for seed in start..start + count.parse::<u64>().unwrap_or(1) {
        let data = random_bytes(seed);
        let case = case(&mut Choices::new(&mut Unstructured::new(&data)));
        let _ = std::fs::write(folder.join(format!("{seed}.mq")), &case.text);
        for (target, level, code) in artifacts(&case) {
            let extension = if target.starts_with("ptx") { "ptx" } else { "spv" };
            let name = format!("{seed}-{}-{level:?}.{extension}", target.replace(':', "-"));
            let _ = std::fs::write(folder.join(name), code);
        }
    }
}
