//! Runs one check, or all, for a while and saves what it finds: `hunt CHECK SECONDS FOLDER [SEED]`.
//!
//! Each kind of mistake is shrunk and saved once, as a filetest. A case that ends the process leaves its seed in
//! `FOLDER/CHECK.current`.

use arbitrary::Unstructured;
use marquetry_fuzz::check::{ALL, Check, Checked};
use marquetry_fuzz::generate::choices::Choices;
use marquetry_fuzz::generate::methods::case;
use marquetry_fuzz::generate::random_bytes;
use marquetry_fuzz::print::Bug;
use marquetry_fuzz::reduce::reduce;
use marquetry_fuzz::stats::Stats;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

fn guarded(f: impl FnOnce() -> Checked) -> Checked {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Bug::new(format!("panic: {text}"), "", ""))
    })
}

/// The mistake without its numbers.
fn kind(what: &str) -> String {
    what.chars().filter(|c| !c.is_ascii_digit()).take(90).collect()
}

fn hunt(check: &Check, seconds: u64, folder: &Path, start: u64) {
    let mut end = Instant::now() + Duration::from_secs(seconds);
    let mut stats = Stats::default();
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut seed = start;
    while Instant::now() < end {
        seed += 1;
        let data = random_bytes(seed);
        let _ = std::fs::write(folder.join(format!("{}.current", check.name)), seed.to_string());
        let began = Instant::now();
        match guarded(|| (check.run)(&mut Unstructured::new(&data))) {
            Ok(verdict) => stats.add(verdict),
            Err(bug) => {
                let count = found.entry(kind(&bug.what)).or_default();
                *count += 1;
                if *count == 1 {
                    println!("{} seed {seed}: {}", check.name, bug.what);
                    let began = Instant::now();
                    let text = shrink(check, &data, &bug);
                    end += began.elapsed();
                    let name = format!("{}-{}.mq", check.name, seed);
                    let _ = std::fs::write(folder.join(name), format!("; seed {seed}\n{text}"));
                }
            }
        }
        if began.elapsed() > Duration::from_secs(5) {
            println!("{} seed {seed} took {:?}", check.name, began.elapsed());
        }
    }
    println!("{}: {stats}; {} kinds of mistakes", check.name, found.len());
    found.iter().for_each(|(what, count)| println!("  {count} x {what}"));
}

fn shrink(check: &Check, data: &[u8], bug: &Bug) -> String {
    let Some(on_case) = check.on_case else { return bug.to_string() };
    let input = &mut Unstructured::new(data);
    let mut choices = Choices::new(input);
    (check.before)(&mut choices);
    let whole = case(&mut choices);
    let limit = Instant::now() + Duration::from_secs(15);
    let wanted = kind(&bug.what);
    let mut shows = |case: &_| {
        let again = |case: &marquetry_fuzz::generate::methods::Case| guarded(|| on_case(case.clone()));
        Instant::now() < limit && again(case).is_err_and(|other| kind(&other.what) == wanted)
    };
    if !shows(&whole) {
        return format!("{bug}\n; (not shrunk)\n{}", whole.text);
    }
    let small = reduce(&whole, &mut shows);
    match guarded(|| on_case(small.clone())) {
        Err(bug) if bug.text.is_empty() => format!("; {}\n{}; {:?}\n", bug.what, small.text, small.calls),
        Err(bug) => bug.to_string(),
        Ok(_) => bug.to_string(),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, name, seconds, folder, rest @ ..] = args.as_slice() else {
        println!("hunt CHECK SECONDS FOLDER [SEED]");
        return;
    };
    let start = rest.first().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let _ = std::fs::create_dir_all(folder);
    std::panic::set_hook(Box::new(|_| ()));
    for check in ALL.iter().filter(|check| name == "all" || check.name == name) {
        hunt(check, seconds.parse().unwrap_or(10), Path::new(folder), start);
    }
}
