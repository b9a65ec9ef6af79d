//! An entry is used where the program says what it said, and nowhere else.

use super::{Host, folder, resolve, written_elsewhere};
use marquetry::compile::{Compiled, Target};
use marquetry::engine::Outcome;
use marquetry::image::{HostSymbol, Image, ImageError};
use marquetry::session::{Backend, Config, Params, Session};
use marquetry_ir::types::Type;
use marquetry_lower::hooks::{Anchor, Deferred};
use marquetry_lower::job::OptLevel;
use marquetry_lower::references::Strategy;
use std::path::Path;
use std::sync::Arc;

const TEXT: &str = r#"
struct pair { a: i64, b: i64 }
global scale: i64 in constant = i64 3
extern func add_there(i64) -> i64 as "host_add"

method helper(x: i64) -> i64 noinline {
entry:
    y = add x, i64 1
    return y
}

method uses(x: i64) -> i64 {
entry:
    y = call helper(x)
    return y
}

method apart(x: i64) -> i64 {
entry:
    y = mul x, i64 2
    return y
}

method paired(x: i64) -> i64 {
entry:
    p = make.pair x, i64 5
    y = get p, 0
    return y
}

method scaled(x: i64) -> i64 {
entry:
    p = address.constant scale
    s = load.i64 p
    y = mul x, s
    return y
}

method there(x: i64) -> i64 {
entry:
    y = call add_there(x)
    return y
}
"#;

const NAMES: [&str; 6] = ["helper", "uses", "apart", "paired", "scaled", "there"];

pub(super) fn write(path: &Path) {
    let host = Host::new(TEXT);
    let jobs: Vec<_> = NAMES.iter().map(|name| host.job(name)).collect();
    host.session.write_image(path, &jobs).unwrap();
}

/// A host over another text, the names of the entries that do not match it, and what is otherwise.
fn stale_over(text: &str) -> (Host, Vec<(String, String)>) {
    let folder = folder();
    let host = Host::new(text);
    let image = host.load(&written_elsewhere("edges", folder.path()));
    let stale = host.session.stale(&image).unwrap();
    (host, stale.into_iter().map(|stale| (stale.name, stale.why)).collect())
}

fn names(stale: &[(String, String)]) -> Vec<&str> {
    stale.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_same_program_elsewhere_in_its_text_matches() {
    let moved = format!("; a comment\n\nmethod first() -> i64 {{\nentry:\n    return i64 0\n}}\n{TEXT}");
    let (host, stale) = stale_over(&moved);
    assert_eq!(stale, []);
    assert_eq!([host.int("uses", &[1]), host.int("apart", &[1]), host.int("there", &[1])], [2, 2, 1001]);
    assert_eq!(host.counts(), (0, 3));
    assert_eq!(host.int("first", &[]), 0);
    assert_eq!(host.counts(), (1, 3));
}

#[test]
fn a_method_that_was_redefined_ends_what_it_went_into() {
    let (host, stale) = stale_over(&TEXT.replace("add x, i64 1", "add x, i64 10"));
    assert_eq!(names(&stale), ["helper(i64)", "uses(i64)"]);
    for (_, why) in &stale {
        assert_eq!(why, "helper(i64) of table 'base' is not defined as it was");
    }
    assert_eq!([host.int("uses", &[1]), host.int("apart", &[1]), host.int("helper", &[1])], [11, 2, 11]);
    assert_eq!(host.counts(), (2, 1));
}

#[test]
fn an_overlay_where_there_was_none_ends_what_looked_there() {
    let overlay = "\noverlay fast method helper(x: i64) -> i64 noinline {\nentry:\n    return i64 77\n}\n";
    let (host, stale) = stale_over(&format!("{TEXT}{overlay}"));
    assert_eq!(names(&stale), ["helper(i64)", "uses(i64)"]);
    assert_eq!(stale[0].1, "it means helper(i64) of table 'fast' now");
    assert_eq!(stale[1].1, "helper(i64) means helper(i64) of table 'fast' now");
    assert_eq!([host.int("uses", &[1]), host.int("apart", &[1])], [77, 2]);
    assert_eq!(host.counts(), (1, 1));
}

#[test]
fn a_more_specific_method_ends_what_would_call_it() {
    let folder = folder();
    let text = "method id<T>(x: T) -> T noinline {\nentry:\n    return x\n}\n\
                method through(x: i64) -> i64 {\nentry:\n    y = call id(x)\n    return y\n}\n";
    let writer = Host::new(text);
    let path = folder.path().join("generic.image");
    writer
        .session
        .write_image(&path, &[writer.job("through"), writer.job("id(i64)"), writer.job("id(f32)")])
        .unwrap();
    let host = Host::new(text);
    let image = host.load(&path);
    assert_eq!(host.session.stale(&image).unwrap(), []);
    assert_eq!((host.int("through", &[4]), host.int("id(i64)", &[4])), (4, 4));
    assert_eq!(host.counts(), (0, 2));
    // What comes after ends it, as if it had been compiled here.
    host.session
        .define("more.mq", "method id(x: i64) -> i64 noinline {\nentry:\n    return i64 9\n}\n")
        .unwrap();
    assert_eq!(host.session.statistics().invalidations, 1);
    assert_eq!((host.int("through", &[4]), host.int("id(i64)", &[4])), (9, 9));
    assert_eq!(host.counts(), (2, 2));
    let stale: Vec<String> =
        host.session.stale(&image).unwrap().into_iter().map(|stale| stale.name).collect();
    assert_eq!(stale, ["through(i64)", "id(i64)"]);
}

#[test]
fn what_a_method_mentions_is_part_of_it() {
    for (old, new, ended) in [
        ("struct pair { a: i64, b: i64 }", "struct pair { a: i64, b: i64, c: i64 }", vec!["paired(i64)"]),
        ("= i64 3\n", "= i64 4\n", vec!["scaled(i64)"]),
        ("as \"host_add\"", "as \"host_sub\"", vec!["there(i64)"]),
    ] {
        let text = TEXT.replace(old, new);
        let text = if new.contains("c: i64") {
            text.replace("make.pair x, i64 5", "make.pair x, i64 5, i64 6")
        } else {
            text
        };
        assert_eq!(names(&stale_over(&text).1), ended, "{new}");
    }
}

#[test]
fn later_changes_end_entries_as_if_they_had_been_compiled_here() {
    let folder = folder();
    let host = Host::new(TEXT);
    host.load(&written_elsewhere("edges", folder.path()));
    let old = host.job("uses");
    assert_eq!((host.int("uses", &[1]), host.int("apart", &[1])), (2, 2));
    assert_eq!(host.counts(), (0, 2));
    let better = "method helper(x: i64) -> i64 noinline {\nentry:\n    y = add x, i64 100\n    return y\n}\n";
    host.session.redefine("better.mq", better).unwrap();
    assert_eq!(host.session.statistics().invalidations, 1);
    assert_eq!((host.int("uses", &[1]), host.int("apart", &[1])), (101, 2));
    assert_eq!(host.counts(), (1, 2));
    // A job of the world before is what it was.
    let code = host.session.compile(&old).unwrap();
    assert_eq!(
        format!("{:?}", code.call(&mut [super::long(1)]).unwrap()),
        "Returned([HostValue { ty: i64, lanes: [2] }])"
    );
    assert_eq!(host.counts(), (1, 2));
}

#[test]
fn jobs_of_another_config_are_compiled() {
    let folder = folder();
    let host = Host::new(TEXT);
    host.load(&written_elsewhere("edges", folder.path()));
    let mut job = host.job("apart");
    job.config.options.evaluate = false;
    host.session.compile(&job).unwrap();
    assert_eq!(host.counts(), (1, 0));
    job.config = host.native.clone();
    host.session.compile(&job).unwrap();
    assert_eq!(host.counts(), (1, 1));
}

#[test]
fn the_last_image_is_asked_first() {
    let folder = folder();
    let host = Host::new(TEXT);
    let (first, second) = (folder.path().join("1.image"), folder.path().join("2.image"));
    host.session.write_image(&first, &[host.job("apart"), host.job("scaled")]).unwrap();
    host.session.write_image(&second, &[host.job("apart")]).unwrap();
    host.load(&first);
    host.load(&second);
    assert_eq!((host.int("apart", &[4]), host.int("scaled", &[4])), (8, 12));
    assert_eq!(host.counts(), (0, 2));
}

#[test]
fn code_outlives_everything_but_itself() {
    let folder = folder();
    let path = written_elsewhere("edges", folder.path());
    let code = {
        let host = Host::new(TEXT);
        host.load(&path);
        host.session.compile(&host.job("scaled")).unwrap()
    };
    std::fs::remove_file(&path).unwrap();
    assert!(format!("{:?}", code.call(&mut [super::long(7)]).unwrap()).contains("[21]"));
}

fn refusal(result: Result<Vec<u8>, ImageError>) -> String {
    match result {
        Err(error @ ImageError::NotStorable { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was stored"),
    }
}

#[test]
fn what_means_something_in_one_process_only_is_not_stored() {
    let baked = "method peek() -> i32 {\nentry:\n    x = load.i32 ptr<global> 0x12340\n    \
                 y = load.i32 ptr<global> 0x56780\n    z = add x, y\n    return z\n}\n";
    let host = Host::new(&format!("{TEXT}{baked}"));
    assert_eq!(
        refusal(host.session.image(&[host.job("apart"), host.job("peek")])),
        "'peek()' cannot be stored in an image: the address 0x12340 in 'peek'; the address 0x56780 in 'peek'"
    );
    let job = host.job("apart");
    host.session.prepare(&job).unwrap();
    assert!(host.session.mark_session_dependent(&job));
    assert!(refusal(host.session.image(&[job])).contains("marked as depending on the session"));
    let mut job = host.job("scaled");
    job.config.params = Params::new("fast");
    assert!(refusal(host.session.image(&[job])).contains("the params \"fast\" of its config"));
    assert!(refusal(host.session.image(&[])).contains("no job"));
    // Nothing was stored, nothing was broken.
    assert!(host.session.image(&[host.job("scaled")]).is_ok());
}

/// A session in which `apart` asks for `helper`, for code of this machine and for PTX, and `helper` for `apart`.
fn with_children(text: &str) -> (Session, Config) {
    let session = Session::new();
    session.define("program.mq", text).unwrap();
    let target = |name: &str| Target::parse(name, OptLevel::Default).unwrap();
    session.add_backend(Backend::new("gpu", target("ptx:sm_80"))).unwrap();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "asks", |context| {
        let of_pairs = context.unit.find("paired").is_some();
        let name = if context.unit.find("helper").is_some() { "apart" } else { "helper" };
        let child = |backend: Option<&str>| Deferred {
            name: name.into(),
            arguments: [Type::I64].into(),
            backend: backend.map(Into::into),
        };
        context.deferred.push(child(None));
        if of_pairs {
            context.deferred.push(Deferred { name: "on_device".into(), ..child(Some("gpu")) });
        }
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    (session, config)
}

/// What else a job asked for is another job: taken from the image if that has it, or else compiled.
#[test]
fn children_are_looked_up_where_their_parents_are_loaded() {
    let kernel = "kernel on_device(n: i64) {\nentry:\n    return\n}\n";
    let text = format!("{TEXT}{kernel}");
    let (writer, config) = with_children(&text);
    let jobs = ["apart", "paired"].map(|name| writer.job(name, &config).unwrap());
    let bytes = writer.image(&jobs).unwrap();
    let loaded = |text: &str| {
        let (session, config) = with_children(text);
        let image = Image::from_bytes(&bytes).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: the image was made above, and needs no symbols of the host.
        unsafe { session.add_image(image, &resolve) }.unwrap();
        (session, config)
    };
    let call = |code: &Compiled| match code.call(&mut [super::long(20)]).unwrap() {
        Outcome::Returned(results) => results[0].get::<i64>().unwrap(),
        Outcome::Threw(thrown) => panic!("{thrown}"),
    };

    let (session, config) = loaded(&text);
    let apart = session.compile(&session.job("apart", &config).unwrap()).unwrap();
    // The child is not in the image, and its own child is this one.
    assert_eq!((session.statistics().compilations, session.statistics().loaded), (1, 1));
    let [helper] = &apart.children[..] else { panic!("{:?}", apart.children) };
    let helper = helper.compiled.as_ref().unwrap();
    assert_eq!((call(&apart), call(helper)), (40, 21));
    assert!(helper.children[0].compiled.is_none());
    let paired = session.compile(&session.job("paired", &config).unwrap()).unwrap();
    let [first, second] = &paired.children[..] else { panic!("{:?}", paired.children) };
    assert!(Arc::ptr_eq(first.compiled.as_ref().unwrap(), helper));
    assert!(second.compiled.as_ref().unwrap().artifact().unwrap().code.starts_with(b".version"));

    // A child that is another one now is found as such, there and when it changes later.
    let (session, config) = loaded(&text.replace("add x, i64 1", "add x, i64 5"));
    let apart = session.compile(&session.job("apart", &config).unwrap()).unwrap();
    assert_eq!(session.statistics().loaded, 1);
    assert_eq!(call(apart.children[0].compiled.as_ref().unwrap()), 25);
    session.redefine("program.mq", "method helper(x: i64) -> i64 {\nentry:\n    return x\n}\n").unwrap();
    let apart = session.compile(&session.job("apart", &config).unwrap()).unwrap();
    assert_eq!(call(apart.children[0].compiled.as_ref().unwrap()), 20);

    // One that is missing is an error, as it is where the parent is compiled.
    let missing = text.replace("helper", "helped");
    let (session, config) = loaded(&missing);
    let said = session.compile(&session.job("apart", &config).unwrap()).unwrap_err().to_string();
    assert!(said.contains("helper(i64)"), "{said}");
}

/// Words of the host are filled in before anything runs, whatever the strategy for artifacts was; those that were written into
/// the code are values of one process.
#[test]
fn words_of_the_host_are_filled_when_an_image_is_loaded() {
    let text = "struct entry { kind: i32, value: i64, call: ptr<generic> }\n\
        global names: array<entry, 2> in constant = [[i32 7, i64 0, ptr<generic> null], [i32 9, i64 5, ptr<generic> null]] \
        with [8: value \"config\", 16: symbol \"environ\" from \"libc.so.6\", 40: address names at 24]\n\
        method sum(n: i64) -> i64 {\nentry:\n    t = address.constant names\n    first = field_address t, entry, 1\n    \
        a = load.i64 first\n    second = ptr_add t, i64 16\n    b = load.i64 second\n    third = ptr_add t, i64 40\n    \
        inner = load.ptr<constant> third\n    kind = load.i32 inner\n    c = zext.i64 kind\n    d = add a, b\n    \
        e = add d, c\n    f = add e, n\n    return f\n}\n";
    let folder = folder();
    for references in [Strategy::Patch, Strategy::Import] {
        let path = folder.path().join(format!("{references:?}.image"));
        let job = |host: &Host| {
            let mut job = host.job("sum");
            job.config.options.references = references;
            job
        };
        let writer = Host::new(text);
        writer.session.write_image(&path, &[job(&writer)]).unwrap();
        let host = Host::new(text);
        let words = |symbol: &HostSymbol<'_>| match (symbol.name.contains("config"), symbol.library) {
            (true, None) => Ok(std::ptr::without_provenance::<u8>(1000)),
            (false, Some("libc.so.6")) => Ok(std::ptr::without_provenance::<u8>(20_000)),
            other => Err(format!("{other:?}")),
        };
        #[allow(unsafe_code)]
        // SAFETY: it was written a line before; the words are numbers to it.
        unsafe { host.session.load_image(&path, &words) }.unwrap();
        let code = host.session.compile(&job(&host)).unwrap();
        let found = format!("{:?}", code.call(&mut [super::long(3)]).unwrap());
        assert!(found.contains("[21012]"), "{references:?}: {found}");
        assert_eq!(host.counts(), (0, 1), "{references:?}");
        let needed: Vec<_> =
            Image::open(&path).unwrap().symbols().map(|s| (s.name.to_owned(), s.library.is_some())).collect();
        assert_eq!(needed, [("environ".to_owned(), true), ("marq_value_config".to_owned(), false)]);
        // What has no word for it says which.
        #[allow(unsafe_code)]
        // SAFETY: it was written a line before, and nothing of it is called.
        let refused = unsafe { Host::new(text).session.load_image(&path, &resolve) }.unwrap();
        let refused: Vec<String> = refused.missing().map(|error| error.to_string()).collect();
        let refused = refused.join("; ");
        assert!(refused.contains("config") || refused.contains("environ"), "{refused}");
    }
}

#[test]
fn symbols_of_two_libraries_are_two() {
    let method = |name: &str, library: &str| {
        format!(
            "global g_{name}: i64 in constant with [0: symbol \"environ\" from \"{library}\"]\nmethod {name}() -> i64 {{\nentry:\n    \
             p = address.constant g_{name}\n    x = load.i64 p\n    return x\n}}\n"
        )
    };
    let host = Host::new(&(method("one", "libc.so.6") + &method("two", "libother.so")));
    let bytes = host.session.image(&[host.job("one"), host.job("two")]).unwrap();
    let image = Image::from_bytes(&bytes).unwrap();
    let symbols: Vec<_> = image.symbols().map(|symbol| (symbol.name, symbol.library)).collect();
    assert_eq!(symbols, [("environ", Some("libc.so.6")), ("environ", Some("libother.so"))]);
}

#[test]
fn targets_without_images_say_so() {
    let session = Session::new();
    session.define("program.mq", TEXT).unwrap();
    let error = |name: &str, target: &str| {
        let target = Target::parse(target, OptLevel::Default).unwrap();
        let config = session.add_backend(Backend::new(name, target)).unwrap();
        session.image(&[session.job("apart", &config).unwrap()]).unwrap_err().to_string()
    };
    let text = error("fixed", "native:riscv64+static");
    assert!(text.contains("riscv64") && text.contains("with static relocation"), "{text}");
    assert!(error("ptx", "ptx:sm_80").contains("not native"));
}

#[test]
fn a_program_becomes_an_image_in_one_call() {
    let session = Session::new();
    session.define("program.mq", TEXT).unwrap();
    let program = session.snapshot();
    let target = || Target::parse("native", OptLevel::Default).unwrap();
    let entries = [program.methods_of("uses")[0].into(), program.methods_of("there")[0].into()];
    let bytes = marquetry::image::write(&program, Backend::new("plain", target()), &entries).unwrap();
    let config = session.add_backend(Backend::new("plain", target())).unwrap();
    let image = marquetry::image::Image::from_bytes(&bytes).unwrap();
    assert_eq!(image.symbols().map(|symbol| symbol.name).collect::<Vec<_>>(), ["host_add"]);
    #[allow(unsafe_code)]
    // SAFETY: the image was made here, of functions that the resolver gives.
    unsafe { session.add_image(image, &resolve) }.unwrap();
    let code = session.compile(&session.job("there", &config).unwrap()).unwrap();
    assert!(format!("{:?}", code.call(&mut [super::long(1)]).unwrap()).contains("[1001]"));
    assert_eq!(session.statistics().compilations, 0);
}

#[test]
fn what_one_session_finds_out_is_nothing_to_another() {
    let folder = folder();
    let path = written_elsewhere("edges", folder.path());
    let (same, other) = (Host::new(TEXT), Host::new(&TEXT.replace("mul x, i64 2", "mul x, i64 20")));
    let image = same.load(&path);
    // The other session's method has the same id.
    assert_eq!(other.session.stale(&image).unwrap().len(), 1);
    assert_eq!(same.session.stale(&image).unwrap(), []);
    assert_eq!((same.int("apart", &[1]), other.int("apart", &[1])), (2, 20));
    assert_eq!((same.counts(), other.counts()), ((0, 1), (1, 0)));
}
