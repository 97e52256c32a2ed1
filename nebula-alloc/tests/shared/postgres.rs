//! A PostgreSQL server for the tests of one process: made when the first asks, gone with the
//! process, however it ends.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]
#![allow(dead_code, unreachable_pub)]

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A server with a directory of its own, in which its socket lies.
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    /// Its standard input ends with this process, however that ends; then it stops the server and
    /// removes what there is.
    janitor: Child,
}

/// What the janitor runs, in the cluster's directory. What stands still would not stop.
const JANITOR: &str = "cat >/dev/null
server=$(head -n 1 data/postmaster.pid 2>/dev/null) &&
    kill -s CONT $server $(cat /proc/$server/task/$server/children)
\"$1\"/pg_ctl -D data -m immediate -w stop >/dev/null 2>&1
rm -rf ./data ./log ./socket
cd .. && rmdir \"$2\"";

static SCHEMAS: AtomicUsize = AtomicUsize::new(0);

/// The server that the tests of this process share, on a disk. `None`, said on the standard error,
/// where PostgreSQL is not installed.
pub fn cluster() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::own(&std::env::temp_dir())).as_ref()
}

/// The same in memory, for tests whose subject is not durability.
pub fn cluster_in_memory() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    SHARED.get_or_init(|| Cluster::own(&place)).as_ref()
}

impl Cluster {
    /// A server that no other test knows, for one that stops it.
    pub fn own(place: &Path) -> Option<Self> {
        let cluster = Self::empty(place)?;
        cluster.run("initdb", ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]);
        cluster.configure("listen_addresses = ''\nmax_connections = 200\n");
        cluster.start();
        Some(cluster)
    }

    /// A server whose write-ahead log is on a small disk of its own. `None`, said on the standard
    /// error, also for who may not mount one.
    pub fn on_small_disk(place: &Path) -> Option<(Self, SmallDisk)> {
        let cluster = Self::empty(place)?;
        let disk = SmallDisk::mount()?;
        let log = disk.directory.path().join("log").display().to_string();
        let wal = format!("--waldir={log}");
        cluster.run(
            "initdb",
            [
                "-D",
                "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "-N",
                "--wal-segsize=1",
                &wal,
            ],
        );
        cluster.configure(
            "listen_addresses = ''\nmin_wal_size = 2MB\nmax_wal_size = 4MB\nwal_recycle = off\n",
        );
        cluster.start();
        Some((cluster, disk))
    }

    /// A standby of this server, which follows it.
    pub fn standby(&self) -> Self {
        let standby = Self::empty(self.directory.parent().unwrap()).unwrap();
        let socket = self.directory.join("socket").display().to_string();
        let arguments = ["-h", &socket, "-U", "postgres", "-D", "data", "-R", "-c", "fast"];
        standby.run("pg_basebackup", arguments);
        standby.configure("");
        standby.start();
        standby
    }

    /// Makes a primary of a standby that has all that its primary has; the primary stays as it is.
    pub fn promote(&self) {
        self.run("pg_ctl", ["-D", "data", "-w", "promote"]);
    }

    /// Where the server will be, and who cleans up after it.
    fn empty(place: &Path) -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "PostgreSQL is not installed");
            eprintln!("skipped: PostgreSQL is not installed");
            return None;
        };
        let directory =
            tempfile::Builder::new().prefix("nebula-alloc-").tempdir_in(place).unwrap().keep();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = other_user() {
            chown(&directory, Some(user), Some(group)).unwrap();
        }
        let janitor = as_user("sh")
            .args(["-c", JANITOR, "sh"])
            .args([&programs, &directory])
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cluster = Self { programs, directory, janitor };
        std::fs::create_dir(cluster.directory.join("socket")).unwrap();
        if let Some((user, group)) = other_user() {
            chown(cluster.directory.join("socket"), Some(user), Some(group)).unwrap();
        }
        Some(cluster)
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Makes the files of a directory the server's, for nobody else to read.
    pub fn own_files(&self, directory: &Path) {
        for file in std::fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "crt" || extension == "key") {
                std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
                if let Some((user, group)) = other_user() {
                    chown(&path, Some(user), Some(group)).unwrap();
                }
            }
        }
    }

    /// Adds settings, for the next start. With a socket of its own, whatever stands there from another.
    pub fn configure(&self, settings: &str) {
        let socket = self.directory.join("socket");
        let file = self.directory.join("data/postgresql.conf");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(settings);
        text.push_str(&format!("unix_socket_directories = '{}'\n", socket.display()));
        std::fs::write(&file, text).unwrap();
    }

    /// The address of a schema made for the asker.
    pub fn schema(&self) -> String {
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.sql(&format!("CREATE SCHEMA {name}"));
        self.url(&format!("-csearch_path={name}"))
    }

    /// The address of the server, with settings for the session.
    pub fn url(&self, options: &str) -> String {
        url(&[self], options)
    }

    /// The address of a database made for the asker, which the role of that name, made too, may
    /// connect to and nothing more.
    pub fn database(&self, role: &str, settings: &str) -> String {
        self.sql(&format!("CREATE ROLE {role} LOGIN"));
        self.sql(&format!("CREATE DATABASE {role} TEMPLATE template0 {settings}"));
        let socket = self.directory.join("socket");
        format!("host={} user={role} dbname={role}", socket.display())
    }

    /// The directory of its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Runs statements over a connection of their own, and answers what they print.
    pub fn sql(&self, text: &str) -> String {
        self.sql_in("postgres", text)
    }

    /// The same in another database.
    pub fn sql_in(&self, database: &str, text: &str) -> String {
        let socket = self.directory.join("socket");
        let arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-c"];
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("-h").arg(socket).args(arguments).arg(text).arg(database);
        let output = psql.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends the connections that have this name or whose last statement holds it. Answers how many.
    pub fn terminate(&self, name: &str) -> usize {
        let answer = self.sql(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND (application_name = '{name}' OR query LIKE '%{name}%')"
        ));
        answer.parse().unwrap()
    }

    pub fn is_running(&self) -> bool {
        self.attempt("pg_ctl", ["-D", "data", "status"])
    }

    pub fn start(&self) {
        let patience = Instant::now() + Duration::from_secs(20);
        // Processes of a killed server take a moment to notice and to let go of its memory.
        while !self.attempt("pg_ctl", ["-D", "data", "-l", "log", "-w", "start"]) {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(Instant::now() < patience, "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it in good order, cutting connections.
    pub fn stop(&self) {
        self.run("pg_ctl", ["-D", "data", "-m", "fast", "-w", "stop"]);
    }

    /// SIGSTOP to all its processes, until what it answers is dropped: they are there, and say
    /// nothing.
    pub fn pause(&self) -> Paused<'_> {
        self.signal("STOP");
        Paused(self)
    }

    /// Sends a signal to the server and then to each of its processes. Answers the server's id.
    fn signal(&self, signal: &str) -> String {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        let children = children.unwrap_or_default();
        for pid in std::iter::once(server).chain(children.split_whitespace()) {
            // A child may have ended meanwhile.
            let _ = Command::new("kill").args(["-s", signal, pid]).stderr(Stdio::null()).status();
        }
        server.to_owned()
    }

    /// SIGKILL. Returns when the processes of its connections are gone too.
    pub fn kill(&self) {
        let server = &self.signal("KILL");
        while Path::new(&format!("/proc/{server}/status")).exists() && !is_zombie(server) {
            std::thread::sleep(Duration::from_millis(2));
        }
        // As long as nobody has taken note of its end, a new one would take it for alive.
        for lock in ["data/postmaster.pid", "socket/.s.PGSQL.5432.lock"] {
            std::fs::remove_file(self.directory.join(lock)).unwrap();
        }
    }

    fn run<const N: usize>(&self, program: &str, arguments: [&str; N]) {
        assert!(self.attempt(program, arguments), "{program} failed");
    }

    fn attempt<const N: usize>(&self, program: &str, arguments: [&str; N]) -> bool {
        let mut command = as_user(self.programs.join(program));
        // A server holds on to what it is given; the harness would wait for its end.
        let command = command.args(arguments).current_dir(&self.directory);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }
}

/// 16 MiB.
pub struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs"];
        let mut mount = Command::new("mount");
        let mounted = mount.args(options).arg(directory.path()).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "no disk can be mounted");
            eprintln!("skipped: no disk can be mounted");
            return None;
        }
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        Some(Self { directory })
    }

    /// Takes all the room that there is.
    pub fn fill(&self) {
        let zeroes = vec![0; 1 << 12];
        let mut file = std::fs::File::create(self.directory.path().join("filler")).unwrap();
        while file.write_all(&zeroes).is_ok() {}
    }

    pub fn empty(&self) {
        std::fs::remove_file(self.directory.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server has its files open until it is gone.
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}

/// The address of all of these servers.
pub fn url(servers: &[&Cluster], options: &str) -> String {
    let socket = |server: &&Cluster| server.directory.join("socket").display().to_string();
    let sockets: Vec<_> = servers.iter().map(socket).collect();
    let hosts = sockets.join(",");
    format!("host={hosts} user=postgres password=secret dbname=postgres options='{options}'")
}

/// A server that stands still.
pub struct Paused<'a>(&'a Cluster);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

fn is_zombie(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// Where initdb and its kin are.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<_> = packaged.map(|entry| entry.path().join("bin")).collect();
    packaged.sort();
    let places = packaged.into_iter().rev().chain(std::env::split_paths(&path));
    places.into_iter().find(|place| place.join("initdb").is_file())
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made.
fn other_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        let id = |arguments: &[&str]| -> Option<u32> {
            let output = Command::new("id").args(arguments).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        if id(&["-u"])? != 0 {
            return None;
        }
        Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
    })
}

/// A program as the user that the servers run as.
pub fn as_user(program: impl AsRef<OsStr>) -> Command {
    match other_user() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={group}"))
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        }
    }
}
