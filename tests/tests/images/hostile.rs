//! Files that are not what they should be: every one is refused with what is wrong, and nothing of it runs.

use super::{Host, child, folder, resolve};
use marquetry::compile::Target;
use marquetry::image::{HostSymbol, Image, ImageError, seal};
use marquetry::session::{Backend, Session};
use marquetry_lower::job::OptLevel;
use std::path::Path;
use std::process::Command;

const TEXT: &str = r#"
global count: i64 in global = i64 5
extern func add_there(i64) -> i64 as "host_add"

method there(x: i64) -> i64 {
entry:
    q = div.s i64 100, x
    p = address.global count
    store p, q
    y = call add_there(q)
    f = function_address inner(i64)
    z = call_indirect f(y) -> i64
    return z
}

method inner(x: i64) -> i64 noinline {
entry:
    return x
}
"#;

fn small() -> (Host, Vec<u8>) {
    let host = Host::new(TEXT);
    let bytes = host.session.image(&[host.job("there"), host.job("inner")]).unwrap();
    (host, bytes)
}

fn error(bytes: &[u8]) -> String {
    match Image::from_bytes(bytes) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was loaded"),
    }
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// Where a part begins, by its number.
fn part(bytes: &[u8], number: usize) -> usize {
    u64_at(bytes, 48 + 16 * number)
}

/// With other bytes at a place, and a checksum that fits.
fn patched(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    seal(&mut bytes);
    bytes
}

const WORDS: usize = 4;
const DEFINITIONS: usize = 5;
const ENTRIES: usize = 6;
const INDEX: usize = 7;
const DETAILS: usize = 8;
const TEXT_PART: usize = 9;
const DATA: usize = 11;

#[test]
fn it_is_refused_at_every_length() {
    let (_, bytes) = small();
    assert!(Image::from_bytes(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Image::from_bytes(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    let (found, stated) = (longer.len(), bytes.len());
    assert_eq!(
        error(&longer),
        format!("the image is damaged: header: the file has {found} bytes, expected {stated}")
    );
}

#[test]
fn every_byte_counts() {
    let (_, bytes) = small();
    let mut bytes = bytes;
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            bytes[at] ^= flip;
            assert!(Image::from_bytes(&bytes).is_err(), "byte {at}");
            bytes[at] ^= flip;
        }
    }
    bytes[300] ^= 4;
    assert!(error(&bytes).starts_with("the image is damaged: its checksum is "));
}

#[test]
fn other_files_versions_and_machines_are_named() {
    let (_, bytes) = small();
    assert_eq!(error(b"hello"), "not an image: it does not begin like one");
    assert_eq!(error(b""), "not an image: it does not begin like one");
    for (version, age) in [(1u32, "an older"), (3, "an older"), (5, "a newer"), (u32::MAX, "a newer")] {
        let text = error(&patched(&bytes, 8, &version.to_le_bytes()));
        assert_eq!(text, format!("the image is of {age} version: found {version}, expected 4"));
    }
    let session = Session::new();
    session.define("program.mq", TEXT).unwrap();
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let target = Target::parse(&format!("native:{other}"), OptLevel::Default).unwrap();
    let config = session.add_backend(Backend::new("other", target)).unwrap();
    let foreign = session.image(&[session.job("there", &config).unwrap()]).unwrap();
    let text = error(&foreign);
    assert!(
        text.starts_with(&format!("the image is for another machine: found {other}-linux, expected ")),
        "{text}"
    );
    // A feature that no processor has, in the place of one that this one has.
    let features = String::from_utf8_lossy(&bytes).find("has_").map(|_| ());
    if features.is_some() {
        let at = bytes.windows(4).position(|window| window == b"has_").unwrap();
        let text = error(&patched(&bytes, at, b"had_"));
        assert!(text.starts_with("the image needs what this processor has not: had_"), "{text}");
    }
}

/// Everything that reads the image, without calling anything.
fn read(host: &Host, bytes: &[u8]) -> Result<(), ImageError> {
    let image = Image::from_bytes(bytes)?;
    let entries: Vec<String> = image.entries().map(|entry| entry.name.to_owned()).collect();
    drop(entries);
    host.session.stale(&image.link(&resolve)?).map(drop)
}

#[test]
fn hostile_tables_are_refused() {
    let (host, bytes) = small();
    let all = bytes.len() as u64;
    let refused = |at: usize, new: &[u8], wanted: &str| {
        let text = read(&host, &patched(&bytes, at, new)).unwrap_err().to_string();
        assert!(text.contains(wanted), "found {text}, wanted {wanted}");
    };
    let directory = |part: usize| 48 + 16 * part;
    // Offsets outside, counts of gigabytes, parts inside of each other, parts between pages.
    refused(directory(WORDS), &(all + 8).to_le_bytes(), "bytes from 1");
    refused(directory(WORDS) + 8, &(24u64 << 40).to_le_bytes(), "relocations: ");
    refused(directory(WORDS) + 8, &(u64::MAX / 24 * 24).to_le_bytes(), "relocations: ");
    refused(directory(ENTRIES), &0u64.to_le_bytes(), "entries: begins at 0, inside of what ends at");
    refused(directory(ENTRIES) + 8, &63u64.to_le_bytes(), "entries: 63 bytes, expected rows of 64");
    let text = part(&bytes, TEXT_PART) as u64;
    refused(directory(TEXT_PART), &(text + 16).to_le_bytes(), "text: begins at");
    refused(32, &48u32.to_le_bytes(), "pages of 48 bytes");
    refused(36, &u32::MAX.to_le_bytes(), "the header's machine: string 4294967295 of");
    // Strings.
    refused(part(&bytes, 0), &[0xff], "strings: no UTF-8 at byte 0");
    refused(part(&bytes, 1), &(1u32 << 30).to_le_bytes(), "string 0: ");
    refused(part(&bytes, 1) + 4, &u32::MAX.to_le_bytes(), "string 0: 4294967295 bytes");
    // Relocations: of text, outside, inside of each other, to what does not exist.
    let words = part(&bytes, WORDS);
    refused(words, &9u32.to_le_bytes(), "relocation 0: part 9, expected constants or data");
    refused(words + 4, &(1u32 << 31).to_le_bytes(), "relocation 0: at byte 2147483648 of constants");
    refused(
        words + 24 + 4,
        &4u32.to_le_bytes(),
        "relocation 1: at byte 4 of constants, inside of the one before",
    );
    refused(words + 8, &77u32.to_le_bytes(), "relocation 0: symbol 77 of");
    refused(words + 8, &(1u32 << 31 | 3).to_le_bytes(), "relocation 0: target 0x80000003");
    refused(words + 12, &2u32.to_le_bytes(), "relocation 0: kind 2");
    refused(words + 24 + 16, &(-1i64).to_le_bytes(), "relocation 1: to byte -1 of ");
    refused(part(&bytes, 3), &5u32.to_le_bytes(), "symbol 0: kind 5");
    // Entries.
    let entry = part(&bytes, ENTRIES);
    refused(entry + 8, &u32::MAX.to_le_bytes(), "entry 0: string 4294967295 of");
    refused(entry + 16, &9u32.to_le_bytes(), "entry 0: config 9 of 1");
    refused(entry + 20, &9u32.to_le_bytes(), "entry 0: definition 9 of");
    refused(entry + 28, &(1u32 << 20).to_le_bytes(), "entry 0: code at byte 1048576, but its text is from");
    refused(entry + 40, &(1u32 << 20).to_le_bytes(), "entry 0: text from");
    refused(entry + 64 + 36, &0u32.to_le_bytes(), "entry 1: text from 0 to");
    refused(entry + 44, &u32::MAX.to_le_bytes(), "entry 0: details 4294967295");
    refused(entry + 64 + 44, &0u32.to_le_bytes(), "entry 1: details 0..");
    // The index.
    let index = part(&bytes, INDEX);
    refused(index + 8, &7u32.to_le_bytes(), "row 0 of the index: entry 7 of 2");
    refused(index, &[0; 8], "row 0 of the index: another hash");
    let row: [u8; 12] = bytes[index..index + 12].try_into().unwrap();
    refused(index + 12, &row, "row 1 of the index: not after the one before it");
    refused(directory(INDEX) + 8, &12u64.to_le_bytes(), "index: 1 rows for 2 entries");
    refused(part(&bytes, DEFINITIONS), &u32::MAX.to_le_bytes(), "definition 0: string");
    // Details: a count that no memory holds, and an end that comes too early.
    let details = part(&bytes, DETAILS);
    refused(details + 4, &(1u32 << 30).to_le_bytes(), "entry 'there(i64)': a list of 1073741824, which");
    refused(details, &u32::MAX.to_le_bytes(), "entry 'there(i64)': string 4294967295 of");
    refused(entry + 48, &3u32.to_le_bytes(), "entry 'there(i64)': its details end too early");
    assert!(read(&host, &bytes).is_ok());
    assert_eq!(host.counts(), (0, 0));
}

/// Nothing that is read leads on to something else that is read, so that nothing goes round: a relocation that leads to itself
/// is an address like any other, and rows of the index, of instances and of strings name rows of tables that name none.
#[test]
fn what_leads_back_to_itself_ends() {
    let (host, bytes) = small();
    let words = part(&bytes, WORDS);
    let (own_part, own_offset) = (&bytes[words..words + 4], &bytes[words + 4..words + 8]);
    let segment = u32::from_le_bytes(own_part.try_into().unwrap()) | 1 << 31;
    let mut itself = segment.to_le_bytes().to_vec();
    itself.extend(1u32.to_le_bytes());
    itself.extend(u64::from(u32::from_le_bytes(own_offset.try_into().unwrap())).to_le_bytes());
    assert!(read(&host, &patched(&bytes, words + 8, &itself)).is_ok());
    // Each entry says that it is the other method: neither is used, and nothing goes on for ever.
    let entry = part(&bytes, ENTRIES);
    let definitions = [entry + 20, entry + 64 + 20].map(|at| bytes[at..at + 4].to_vec());
    let crossed = patched(&bytes, entry + 20, &definitions[1]);
    let crossed = patched(&crossed, entry + 64 + 20, &definitions[0]);
    let other = Host::new(TEXT);
    #[allow(unsafe_code)]
    // SAFETY: nothing of it is called, as the counts below say.
    unsafe { other.session.add_image(Image::from_bytes(&crossed).unwrap(), &resolve) }.unwrap();
    assert_eq!((other.int("inner", &[3]), other.counts()), (3, (1, 0)));
    // A string that is all strings, and an index whose rows are both the same entry.
    let strings = u64_at(&bytes, 48 + 8) as u32;
    let whole = [0u32.to_le_bytes(), strings.to_le_bytes()].concat();
    let text = read(&host, &patched(&bytes, part(&bytes, 1), &whole)).map_err(|error| error.to_string());
    assert!(text.is_ok() || text.is_err_and(|text| text.contains("damaged") || text.contains("machine")));
    assert_eq!(host.counts(), (0, 0));
}

#[test]
fn no_change_of_a_table_is_a_panic() {
    let (host, bytes) = small();
    let end = part(&bytes, DETAILS) + u64_at(&bytes, 48 + 16 * DETAILS + 8);
    let (mut accepted, mut all) = (0, 0);
    // The checksum itself is written anew.
    for at in (8..end).filter(|at| !(16..24).contains(at)) {
        for new in [0, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(64)] {
            if new != bytes[at] {
                all += 1;
                accepted += usize::from(read(&host, &patched(&bytes, at, &[new])).is_ok());
            }
        }
    }
    // Texts and hashes are what they are; the rest is checked.
    assert!(accepted > all / 10 && accepted < all * 2 / 3, "{accepted} of {all}");
}

#[test]
fn symbols_without_an_address_are_named() {
    let (_, bytes) = small();
    let link = |resolver: &dyn marquetry::image::Resolver| {
        let image = std::sync::Arc::new(Image::from_bytes(&bytes).unwrap().link(resolver).unwrap());
        let missing: Vec<String> = image.missing().map(|error| error.to_string()).collect();
        // It is the entries that need it which are not there.
        let codes = (0..image.entries().len() as u32).map(|number| image.code(number));
        let refused: Vec<String> = codes.filter_map(|code| Some(code.err()?.to_string())).collect();
        assert!(!refused.is_empty() && refused.len() < image.entries().len(), "{refused:?}");
        assert!(refused.iter().all(|error| missing.contains(error)), "{refused:?}");
        missing.join("; ")
    };
    let refuses = |_: &HostSymbol<'_>| Err::<*const u8, String>("not today".to_owned());
    assert_eq!(link(&refuses), "symbol \"host_add\": not today");
    let null = |_: &HostSymbol<'_>| Ok::<*const u8, String>(std::ptr::null());
    assert_eq!(link(&null), "symbol \"host_add\": the resolver gave a null address");
    let session = Session::new();
    assert_eq!(link(&session.symbols()), "symbol \"host_add\": the session has no such symbol");
    // A session takes what needs no such symbol, and says what it does not take.
    let host = Host::new(TEXT);
    let image = Image::from_bytes(&bytes).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: the image was written by this test; the resolver gives nothing.
    let loaded = unsafe { host.session.add_image(image, &refuses) }.unwrap();
    let stale = host.session.stale(&loaded).unwrap();
    let stale: Vec<_> = stale.iter().map(|entry| (&*entry.name, &*entry.why)).collect();
    assert_eq!(stale, [("there(i64)", "symbol \"host_add\": not today")]);
    assert_eq!(host.int("inner", &[3]), 3);
    assert_eq!(host.counts(), (0, 1));
}

#[test]
fn no_page_can_be_written_and_executed() {
    let (_, bytes) = small();
    let folder = folder();
    let path = folder.path().join("small.image");
    std::fs::write(&path, &bytes).unwrap();
    let loaded = Image::open(&path).unwrap().link(&resolve).unwrap();
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        let own: Vec<&str> = maps.lines().filter(|line| line.ends_with("small.image")).collect();
        let rights: Vec<&str> = own.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
        // Tables, text, constants, data.
        assert_eq!(rights, ["r--p", "r-xp", "r--p", "rw-p"], "{own:?}");
    }
    assert_eq!(loaded.entries().len(), 2);
    // What is written stays in the process.
    drop(loaded);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(part(&bytes, DATA) < bytes.len());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = folder();
    let missing = folder.path().join("missing.image");
    let text = Image::open(&missing).unwrap_err().to_string();
    assert!(text.starts_with(&format!("image '{}': ", missing.display())), "{text}");
    assert!(Image::open(folder.path()).is_err());
    let empty = folder.path().join("empty.image");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(Image::open(&empty), Err(ImageError::NotAnImage)));
}

#[test]
fn two_processes_write_one_file() {
    let folder = folder();
    let path = folder.path().join("shared.image");
    let writers: Vec<_> = ["truth", "edges", "truth", "edges"]
        .into_iter()
        .map(|task| child(task, &path).stdout(std::process::Stdio::null()).spawn().unwrap())
        .collect();
    // Whenever there is a file, it is whole.
    let mut seen = 0;
    let mut writers = writers;
    while writers.iter_mut().any(|writer| writer.try_wait().unwrap().is_none()) {
        if path.exists() {
            Image::open(&path).unwrap();
            seen += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(writers.iter_mut().all(|writer| writer.wait().unwrap().success()));
    Image::open(&path).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}, after {seen} looks");
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = folder();
    let path = folder.path().join("old.image");
    let (_, bytes) = small();
    std::fs::write(&path, &bytes).unwrap();
    // No file of more than one block can be written; without the trap the signal would end the process.
    let task = child("edges", &path);
    let program = task.get_program().to_owned();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(program).args(task.get_args());
    for (name, value) in task.get_envs() {
        limited.env(name, value.unwrap());
    }
    let done = limited.output().unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(said.contains("too large") && said.contains("old.image"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let _: &Path = &path;
}
