//! The bytes of images: the same from every process, on any number of threads, and many entries in one file.

use super::{Host, child, folder, written_elsewhere};
use std::path::Path;

const COUNT: usize = 300;

/// Functions that call each other in chains of ten, and throw for 0.
fn many() -> String {
    let mut text = String::new();
    for n in 0..COUNT {
        let inner = match n % 10 {
            0 => "y = div.s i64 1000, x".to_owned(),
            _ => format!("y = call f{}(x)", n - 1),
        };
        text += &format!(
            "method f{n}(x: i64) -> i64 noinline {{\nentry:\n    {inner}\n    z = add y, i64 {n}\n    return z\n}}\n"
        );
    }
    text
}

pub(super) fn write_many(path: &Path) {
    let host = Host::new(&many());
    let jobs: Vec<_> = (0..COUNT).map(|n| host.job(&format!("f{n}"))).collect();
    host.session.write_image(path, &jobs).unwrap();
}

#[test]
fn the_same_bytes_whoever_writes_them() {
    let folder = folder();
    let elsewhere = std::fs::read(written_elsewhere("many", folder.path())).unwrap();
    let again = folder.path().join("again.image");
    assert!(child("many", &again).current_dir("/").output().unwrap().status.success());
    assert!(std::fs::read(again).unwrap() == elsewhere);
    let host = Host::new(&many());
    let jobs: Vec<_> = (0..COUNT).map(|n| host.job(&format!("f{n}"))).collect();
    for threads in [1, 2, 7] {
        assert!(host.session.image_with_threads(&jobs, threads).unwrap() == elsewhere, "{threads} threads");
    }
    assert_eq!(host.counts(), (0, 0));
}

#[test]
fn many_entries_are_each_found() {
    let folder = folder();
    let path = written_elsewhere("many", folder.path());
    let host = Host::new(&many());
    let image = host.load(&path);
    assert_eq!(image.entries().len(), COUNT);
    for n in [0, 9, 10, 57, 123, 299] {
        let first = n / 10 * 10;
        let sum: usize = (first..=n).sum();
        assert_eq!(host.int(&format!("f{n}"), &[10]), 100 + sum as i64);
    }
    assert_eq!(host.counts(), (0, 6));
    assert_eq!(host.session.stale(&image).unwrap(), []);
}
