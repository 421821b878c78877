//! A study as a job array of a real Slurm on this machine; skipped with a note where Slurm or munge is not installed.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::parts::comparable;
use super::{Study, VARIANTS, errors, out};

/// What a cluster needs, and what is run on it.
const PROGRAMS: [&str; 6] = [
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "scontrol",
];
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

/// Finds a program, also where only root looks.
fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut paths = folders.map(|folder| folder.join(program));
    paths.find(|path| path.is_file())
}

/// Why there can be no cluster here.
fn lacking() -> Option<String> {
    let lacks = |program: &&&str| find(program).is_none();
    if let Some(program) = PROGRAMS.iter().find(lacks) {
        return Some(format!("{program} is not installed"));
    }
    let user = Command::new("id").arg("-u").output().unwrap();
    (out(&user).trim() != "0").then(|| "its daemons need root".to_owned())
}

/// A cluster of one node: this machine. Its daemons end with it.
struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

/// Two ports that nobody listens on, below those that a system gives to connections (from 32,768 on Linux).
fn free_ports() -> (u16, u16) {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let first = (std::process::id() ^ since) % 12_000;
    let ports = (0..12_000).map(|k| 20_000 + u16::try_from((first + k) % 12_000).unwrap());
    let held = ports.filter_map(|port| TcpListener::bind(("0.0.0.0", port)).ok());
    let two: Vec<TcpListener> = held.take(2).collect();
    let port = |k: usize| two[k].local_addr().unwrap().port();
    (port(0), port(1))
}

impl Cluster {
    /// A cluster whose daemons stay; begun anew on other ports where one of them ends.
    fn new() -> Self {
        for _ in 0..5 {
            let mut cluster = Self::begun();
            let mut ended = false;
            cluster.until("a node that is idle", |cluster| {
                ended = cluster.ended();
                ended || cluster.run("sinfo", &["-h", "-o", "%t"]).trim() == "idle"
            });
            if !ended {
                return cluster;
            }
            cluster.show_logs();
        }
        panic!("five times a daemon ended");
    }

    fn begun() -> Self {
        let mut cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            daemons: Vec::new(),
        };
        let folder = cluster.folder.path().display().to_string();
        let path = |name: &str| cluster.folder.path().join(name);
        std::fs::create_dir(path("state")).unwrap();
        std::fs::create_dir(path("spool")).unwrap();
        std::fs::write(path("key"), [7; 64]).unwrap();
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(path("key"), read_only).unwrap();
        let own = Command::new("hostname").arg("-s").output().unwrap();
        let host = out(&own).trim().to_owned();
        let (controller_port, node_port) = free_ports();
        // Credentials that expire soon: a requeued job begins again once its own has.
        let conf = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={folder}/munge.socket,cred_expire=5\nMpiDefault=none\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
             SchedulerParameters=sched_interval=1,bf_interval=1\nReturnToService=2\nSwitchType=switch/none\n\
             StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\nSlurmctldPidFile={folder}/slurmctld.pid\n\
             SlurmdPidFile={folder}/slurmd.pid\nSlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log\n\
             SlurmctldPort={controller_port}\nSlurmdPort={node_port}\nNodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=500\n\
             PartitionName=debug Nodes=ALL Default=YES MaxTime=10 State=UP\n"
        );
        std::fs::write(path("slurm.conf"), conf).unwrap();
        let munge = [
            "key-file=key",
            "socket=munge.socket",
            "pid-file=munged.pid",
            "log-file=munged.log",
            "seed-file=seed",
        ];
        let munge =
            munge.map(|option| format!("--{}", option.replacen('=', &format!("={folder}/"), 1)));
        let slurm = [
            "-D".to_owned(),
            "-f".to_owned(),
            format!("{folder}/slurm.conf"),
        ];
        let foreground = ["--foreground".to_owned(), "--force".to_owned()];
        cluster.start("munged", &[&foreground[..], &munge].concat());
        cluster.start("slurmctld", &slurm);
        cluster.start("slurmd", &slurm);
        cluster
    }

    /// Whether a daemon has ended.
    fn ended(&mut self) -> bool {
        let mut daemons = self.daemons.iter_mut();
        daemons.any(|daemon| daemon.try_wait().unwrap().is_some())
    }

    fn show_logs(&self) {
        for log in ["munged.out", "slurmctld.log", "slurmd.log"] {
            let text = std::fs::read_to_string(self.folder.path().join(log));
            eprintln!("{log}:\n{}", text.unwrap_or_default());
        }
    }

    fn start(&mut self, program: &str, arguments: &[String]) {
        let log = std::fs::File::create(self.folder.path().join(format!("{program}.out"))).unwrap();
        let mut command = Command::new(find(program).unwrap());
        command.args(arguments).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command
            .args(arguments)
            .env("SLURM_CONF", self.conf())
            .output()
            .unwrap();
        out(&output)
    }

    /// Waits for something; shows the daemons' logs where it does not come.
    fn until(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> bool) {
        let since = Instant::now();
        while !there(self) {
            if since.elapsed() > PATIENCE || self.ended() {
                self.show_logs();
                let took = since.elapsed();
                panic!("no {what} after {took:?}: {}", self.run("squeue", &[]));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn an_array_of_jobs_with_one_killed_ends_as_the_study_does_at_once() {
    if let Some(why) = lacking() {
        println!("skipped: no Slurm here: {why}");
        return;
    }
    let study = VARIANTS.replace("train.epochs = 2", "train.epochs = 24, train.patience = 50");
    let study = Study::new(&study);
    let six = ["--seeds", "3"];
    let whole = study.run(&[&six[..], &["--jobs", "2"]].concat());
    assert!(whole.status.success(), "{}", errors(&whole));
    let expected = comparable(&study);
    std::fs::remove_dir_all(study.path("out")).unwrap();

    let mut cluster = Cluster::new();
    let mut submit = study.command(&[&six[..], &["--slurm", "--submit"]].concat());
    let submitted = submit
        .env("SLURM_CONF", cluster.conf())
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(submitted.status.success(), "{}", errors(&submitted));
    let told = out(&submitted);
    let array = told
        .split("as job ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let array = array.unwrap_or_else(|| panic!("{told}")).to_owned();
    assert!(told.starts_with("submitted 6 runs"), "{told}");

    // The first run is killed in the midst of its epochs, and queued again.
    let epochs = study.path("out/full/seed-1/checkpoints");
    cluster.until("checkpoint of the first run", |_| epochs.is_dir());
    cluster.run("scontrol", &["requeue", &format!("{array}_0")]);
    cluster.until("summary by the job that collects", |cluster| {
        study.path("out/summary.json").is_file() && cluster.run("squeue", &["-h"]).trim().is_empty()
    });
    let log = std::fs::read_to_string(study.path(&format!("out/slurm/{array}-0.log"))).unwrap();
    assert!(log.contains("REQUEUE"), "{log}");
    let summary = comparable(&study);
    assert_eq!(summary["runs"]["finished"], 6, "{log}");
    assert_eq!(summary, expected);
}
