//! The tasks that probe: one for each target, started and ended as the snapshot says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Moment, Snapshot};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ask::{Answer, Finding, Means, Phases, Question, ask};
use super::metrics::ProbeMetrics;
use super::schedule::Schedule;
use super::target::{Target, targets};
use super::tls::{ProbeTls, server_name};
use crate::clock::Clock;
use crate::config::{ObjectConfig, ProbeConfig};
use crate::judge::Family;

/// Every so many probes ask for an object instead.
const OBJECT_EVERY: u64 = 6;

/// Two probes of a target begin no closer together, whoever asks for a look.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// A probe that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) node: String,
    pub(crate) family: Family,
    /// When it ended.
    pub(crate) at: Moment,
    pub(crate) finding: Finding,
}

/// Everything that probes.
pub(crate) struct Probing {
    config: Arc<ProbeConfig>,
    tls: ProbeTls,
    metrics: ProbeMetrics,
    clock: Clock,
    /// The place of this monitor among all, and how many there are.
    place: (usize, usize),
    found: mpsc::Sender<Probed>,
    tasks: HashMap<(String, Family), Task>,
}

struct Task {
    target: Target,
    control: Arc<Control>,
    handle: JoinHandle<()>,
}

/// How others steer one task.
struct Control {
    /// Look at once.
    look: Notify,
    /// What is believed: whether an answer is expected.
    expects_answer: AtomicBool,
    /// The name in the handshake, as the snapshot has it now.
    server_name: parking_lot::Mutex<Option<rustls_pki_types::ServerName<'static>>>,
}

impl Probing {
    pub(crate) fn new(
        config: ProbeConfig,
        tls: ProbeTls,
        metrics: ProbeMetrics,
        clock: Clock,
        place: (usize, usize),
        found: mpsc::Sender<Probed>,
    ) -> Probing {
        Probing {
            config: Arc::new(config),
            tls,
            metrics,
            clock,
            place,
            found,
            tasks: HashMap::new(),
        }
    }

    /// Starts and ends tasks so that each target of the snapshot has one.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot) {
        let name = server_name(self.config.server_name.as_deref(), snapshot);
        let mut tasks = HashMap::new();
        for target in targets(snapshot) {
            let key = (target.node.clone(), target.family);
            let task = match self.tasks.remove(&key) {
                Some(task) if task.target == target => task,
                other => {
                    other.iter().for_each(|task| task.handle.abort());
                    self.start(target)
                }
            };
            task.control.server_name.lock().clone_from(&name);
            tasks.insert(key, task);
        }
        let gone = std::mem::replace(&mut self.tasks, tasks);
        gone.values().for_each(|task| task.handle.abort());
    }

    /// Has a node probed at once, over all its families.
    pub(crate) fn look(&self, node: &str) {
        for family in [Family::V4, Family::V6] {
            if let Some(task) = self.tasks.get(&(node.to_owned(), family)) {
                task.control.look.notify_one();
            }
        }
    }

    /// Says whether a target is expected to answer: one that does otherwise is asked again soon.
    pub(crate) fn expect(&self, node: &str, family: Family, answer: bool) {
        if let Some(task) = self.tasks.get(&(node.to_owned(), family)) {
            task.control.expects_answer.store(answer, Ordering::Relaxed);
        }
    }

    fn start(&self, target: Target) -> Task {
        let control = Arc::new(Control {
            look: Notify::new(),
            expects_answer: AtomicBool::new(true),
            server_name: parking_lot::Mutex::new(None),
        });
        let (place, monitors) = self.place;
        let schedule = Schedule::new(
            &format!("{}/{}", target.node, target.family.as_str()),
            place,
            monitors,
            self.config.interval,
            self.config.fast_interval,
        );
        let prober = Prober {
            target: target.clone(),
            schedule,
            control: Arc::clone(&control),
            config: Arc::clone(&self.config),
            tls: self.tls.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock,
            found: self.found.clone(),
            count: 0,
            lacking: Vec::new(),
        };
        Task {
            target,
            control,
            handle: tokio::spawn(prober.run()),
        }
    }
}

/// What one task has.
struct Prober {
    target: Target,
    schedule: Schedule,
    control: Arc<Control>,
    config: Arc<ProbeConfig>,
    tls: ProbeTls,
    metrics: ProbeMetrics,
    clock: Clock,
    found: mpsc::Sender<Probed>,
    count: u64,
    /// Objects that it had an error for when last asked; each is logged once.
    lacking: Vec<ObjectConfig>,
}

impl Prober {
    /// Until the task is aborted, or nobody wants to know any more.
    async fn run(mut self) {
        let mut next = self.schedule.first(self.clock.now());
        let mut began = Moment::default();
        let mut question = Question::Health;
        loop {
            self.wait(next, began).await;
            began = self.clock.now();
            let finding = self.find(&mut question).await;
            let answered = !matches!(finding, Finding::Failed(_));
            let now = self.clock.now();
            let probed = Probed {
                node: self.target.node.clone(),
                family: self.target.family,
                at: now,
                finding,
            };
            if self.found.send(probed).await.is_err() {
                return;
            }
            let expected = self.control.expects_answer.load(Ordering::Relaxed);
            next = if answered == expected {
                self.schedule.next(now)
            } else {
                self.schedule.soon(began, now)
            };
            // What failed is asked again: an answer to another question would not say that it is mended.
            if answered {
                question = self.next_question();
            }
        }
    }

    /// Asks, and asks the node how it is where the answer is not about the node: every node has an error for an object
    /// whose origin is out of order.
    async fn find(&mut self, question: &mut Question) -> Finding {
        loop {
            let means = Means {
                tls: &self.tls,
                server_name: self.control.server_name.lock().clone(),
                timeout: self.config.timeout,
                object_timeout: self.config.object_timeout,
            };
            let (answer, phases) = ask(&self.target, question, &means).await;
            self.record(&answer, phases);
            self.remember_lacking(question, &answer);
            match answer {
                Answer::Found(finding) => return finding,
                Answer::NoObject(_) => *question = Question::Health,
            }
        }
    }

    fn remember_lacking(&mut self, question: &Question, answer: &Answer) {
        let Question::Object(object) = question else {
            return;
        };
        match answer {
            Answer::NoObject(status) if !self.lacking.contains(object) => {
                let (node, status) = (self.target.node.as_str(), status.as_u16());
                let (host, path) = (object.host.as_str(), object.path.as_str());
                tracing::warn!(
                    node,
                    host,
                    path,
                    status,
                    "a node has an error for an object that is probed"
                );
                self.lacking.push(object.clone());
            }
            Answer::Found(Finding::Delivering) => self.lacking.retain(|lacking| lacking != object),
            Answer::NoObject(_) | Answer::Found(_) => {}
        }
    }

    async fn wait(&self, next: Moment, last_began: Moment) {
        let pause = next.since(self.clock.now());
        let planned = Instant::now() + pause;
        tokio::select! {
            () = tokio::time::sleep_until(planned) => {
                self.metrics.lateness.observe(planned.elapsed().as_secs_f64());
            }
            () = self.control.look.notified() => {
                let pause = (last_began + LOOK_PAUSE).since(self.clock.now());
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn next_question(&mut self) -> Question {
        self.count += 1;
        let objects = &self.config.objects;
        if objects.is_empty() || !self.count.is_multiple_of(OBJECT_EVERY) {
            return Question::Health;
        }
        let turn = usize::try_from(self.count / OBJECT_EVERY).unwrap_or_default();
        Question::Object(objects[turn % objects.len()].clone())
    }

    fn record(&self, answer: &Answer, phases: Phases) {
        let outcome = match answer {
            Answer::Found(Finding::Serving { .. } | Finding::Delivering) => "ok",
            Answer::Found(Finding::Draining) => "draining",
            Answer::Found(Finding::Failed(cause)) => cause.kind.as_str(),
            Answer::NoObject(_) => "no-object",
        };
        self.metrics.probes.with_label_values(&[outcome]).inc();
        if !matches!(answer, Answer::Found(Finding::Failed(_)) | Answer::NoObject(_)) {
            let observe = |phase: &str, length: Duration| {
                self.metrics
                    .phases
                    .with_label_values(&[phase])
                    .observe(length.as_secs_f64());
            };
            observe("connect", phases.connect);
            if self.target.secure {
                observe("tls", phases.tls);
            }
            observe("answer", phases.answer);
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.tasks.values().for_each(|task| task.handle.abort());
    }
}
