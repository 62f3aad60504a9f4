//! The file operations, while others execute, read and watch.

use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::inotify;
use tempfile::TempDir;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_put_is_the_same_and_nothing_is_left_aside() {
    let dir = TempDir::new().unwrap();
    let place = Place::plugin(dir.path());
    // Around the size of the chunks that are compared.
    for size in [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000] {
        let content = vec![7; size];
        place.put(&mut content.as_slice()).unwrap();
        assert_eq!(place.compare(&mut content.as_slice()).unwrap(), Found::Same, "{size}");
        for other in [[content.as_slice(), b"x"].concat(), content[..size.saturating_sub(1)].to_vec()] {
            let expected = if other.len() == size { Found::Same } else { Found::Different };
            assert_eq!(place.compare(&mut other.as_slice()).unwrap(), expected, "{size} {}", other.len());
        }
        assert_eq!(names(dir.path()), ["kuryr-cni"]);
    }
    place.remove().unwrap();
    place.remove().unwrap();
    assert_eq!(place.compare(&mut io::empty()).unwrap(), Found::Missing);
}

/// A program for `name` that differs from its like only in what follows its code.
fn program(path: &str, mark: u8) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes.extend(std::iter::repeat_n(mark, 64 * 1024 + usize::from(mark)));
    bytes
}

/// Processes are started only before the first file is written: a child that is about to become another program holds
/// every file its parent writes, which this daemon, having no children, never causes.
#[test]
fn who_executes_it_meanwhile_sees_only_whole_programs_and_the_running_one_is_left_alone() {
    let (busy, idle) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (executed, running) = (Place::plugin(busy.path()), Place::plugin(idle.path()));
    for (place, path) in [(&executed, "/bin/true"), (&running, "/bin/sleep")] {
        fs::write(place.path(), program(path, 0)).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // The scripts wait for the word to go, which is given below when this process has started all it will.
    let script = "read go; i=0; while [ $i -lt 400 ]; do \"$0\" || exit 1; i=$((i+1)); done";
    let start = |script: &str, path: PathBuf| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(path).stdin(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut loops = [start(script, executed.path()), start(script, executed.path())];
    let mut sleeper = Command::new(running.path()).arg("600").spawn().unwrap();
    let exe = PathBuf::from(format!("/proc/{}/exe", sleeper.id()));
    let begun = Instant::now();
    while fs::read_link(&exe).unwrap() != running.path() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the sleeper does not run");
        std::thread::yield_now();
    }
    for process in &mut loops {
        io::Write::write_all(&mut process.stdin.take().unwrap(), b"go\n").unwrap();
    }

    let programs = [program("/bin/true", 1), program("/bin/true", 2)];
    let mut count = 0;
    while loops.iter_mut().any(|process| process.try_wait().unwrap().is_none()) {
        executed.put(&mut programs[count % 2].as_slice()).unwrap();
        count += 1;
    }
    for process in loops {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "after {count} exchanges: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(count >= 10, "{count} exchanges are no test");

    // Opened for writing this would be refused: the text file is busy.
    assert_eq!(OpenOptions::new().write(true).open(running.path()).unwrap_err().kind(), ErrorKind::ExecutableFileBusy);
    running.put(&mut programs[0].as_slice()).unwrap();
    assert!(sleeper.try_wait().unwrap().is_none(), "it runs on");
    assert!(fs::read_link(&exe).unwrap().to_str().unwrap().ends_with(" (deleted)"), "with what it was");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// containerd hears of writes, renames and removals in its folder, and is deaf to creations and changes of mode.
#[test]
fn containerd_hears_of_it_when_it_is_there_and_when_it_is_gone() {
    let dir = TempDir::new().unwrap();
    let place = Place::conflist(dir.path());
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    let heard = inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_FROM | inotify::WatchFlags::DELETE;
    inotify::add_watch(&watch, dir.path(), heard).unwrap();
    let events = || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&watch, &mut buffer);
        let mut last = None;
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_str().unwrap().to_owned()).unwrap_or_default();
            last = Some((event.events(), name));
        }
        last
    };
    place.put(&mut b"{}".as_slice()).unwrap();
    let (what, name) = events().unwrap();
    assert!(what.contains(inotify::ReadFlags::MOVED_FROM) && name.starts_with(".10-kuryr.conflist.new-"), "{name}");
    place.remove().unwrap();
    let (what, name) = events().unwrap();
    assert!(what.contains(inotify::ReadFlags::DELETE) && name == "10-kuryr.conflist", "{name}");
}

#[test]
fn only_old_files_of_ours_are_abandoned() {
    let dir = TempDir::new().unwrap();
    let place = Place::plugin(dir.path());
    let old = SystemTime::now() - Duration::from_secs(3600);
    for (name, age) in [
        (".kuryr-cni.new-1-2", Some(old)),
        (".kuryr-cni.new-1-3", None),
        ("kuryr-cni", Some(old)),
        (".other.new-1-2", Some(old)),
        ("bridge", Some(old)),
    ] {
        let file = File::create(dir.path().join(name)).unwrap();
        if let Some(age) = age {
            file.set_modified(age).unwrap();
        }
    }
    let abandoned = place.abandoned().unwrap();
    assert_eq!(abandoned, [dir.path().join(".kuryr-cni.new-1-2")]);
    place.remove_abandoned(&abandoned[0]).unwrap();
    assert_eq!(names(dir.path()), [".kuryr-cni.new-1-3", ".other.new-1-2", "bridge", "kuryr-cni"]);
}

#[test]
fn what_fails_leaves_the_old_file_and_nothing_else() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
    }
    let dir = TempDir::new().unwrap();
    let place = Place::plugin(dir.path());
    place.put(&mut b"old".as_slice()).unwrap();
    let error = place.put(&mut Broken).unwrap_err();
    assert!(error.to_string().contains("make space"), "{error}");
    assert_eq!((names(dir.path()), fs::read(place.path()).unwrap()), (vec!["kuryr-cni".to_owned()], b"old".to_vec()));
}

#[test]
fn a_folder_in_its_place_is_told_to_be_removed() {
    let dir = TempDir::new().unwrap();
    let place = Place::conflist(dir.path());
    fs::create_dir(place.path()).unwrap();
    assert_eq!(place.compare(&mut io::empty()).unwrap(), Found::NotAFile);
    let error = place.put(&mut b"{}".as_slice()).unwrap_err().to_string();
    assert!(error.contains("10-kuryr.conflist") && error.contains("remove it"), "{error}");
    assert_eq!(names(dir.path()), ["10-kuryr.conflist"]);
}

#[test]
fn every_error_has_its_cure() {
    let place = Place::plugin(Path::new("/opt/cni/bin"));
    for (kind, cure) in [
        (ErrorKind::NotFound, "mount the host's folder at /opt/cni/bin or set [kuryr] cni_bin_dir"),
        (ErrorKind::ReadOnlyFilesystem, "set [kuryr] cni_bin_dir"),
        (ErrorKind::PermissionDenied, "must be root"),
        (ErrorKind::StorageFull, "make space"),
        (ErrorKind::Other, "check /opt/cni/bin"),
    ] {
        let error = place.failed("write", &place.path(), kind.into()).to_string();
        assert!(error.starts_with("cannot write /opt/cni/bin/kuryr-cni: ") && error.contains(cure), "{error}");
    }
}
