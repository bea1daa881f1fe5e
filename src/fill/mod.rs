//! The state machine of one fill, without any I/O.
//!
//! **Every call that the machine asks for comes back to it exactly once, as a response or as a failure. After
//! [`Action::Done`] there is no fill, and an upload that was created has been completed or aborted.**
//!
//! ```text
//! Start ─► Existence ─► FirstFetch ─► Put ─► Done                       one part
//!          (a 403 that   (one origin
//!           may be a      after the     └─► CreateUpload ─► Transfer ─► CompleteUpload ─► Done      several
//!           miss)         other)                          └────────────┴─► AbortUpload ─► Done, or once again
//!                                   └─► Done                            the headers alone
//! ```
//!
//! A state is one struct, named for what it awaits, and holds only what that needs. A state that was refused by a
//! busy store waits in [`State::Later`](state::State) for its time.

mod fetch;
mod head;
mod multipart;
mod outcome;
pub mod plan;
mod put;
mod state;
mod transfer;

pub use outcome::{Outcome, Shortage};

use crate::config::rule::{self, Mirror, OnHead, ResponseMode, Rule};
use crate::config::{Bucket, Config, Limits, MAX_PART_SIZE};
use crate::http::{Method, Request, Response, Upstream};
use crate::object::key::Key;
use crate::request::forwarded::Forwarded;
use crate::request::target::Target;
use crate::request::trace::Trace;
use state::State;
use std::rc::Rc;
use std::time::Duration;

/// One object on its way from an origin to the bucket.
#[derive(Debug)]
pub struct Fill {
    job: Job,
    state: State,
}

/// Names a call within its fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u32);

/// What happens to a fill.
#[derive(Debug)]
pub enum Input {
    /// The wait that was asked for is over.
    Deadline,
    /// A call came back without a response: the connection was refused, reset or cut short, or the response was
    /// larger than Envoy takes.
    Failed {
        /// The call.
        call: CallId,
    },
    /// A call came back.
    Response {
        /// The call.
        call: CallId,
        /// All of it.
        response: Response,
    },
    /// The first input.
    Start,
}

/// What a fill wants to happen.
#[derive(Debug)]
pub enum Action {
    /// Make a call, whose end is an [`Input::Response`] or [`Input::Failed`].
    Call(Call),
    /// The fill is over.
    Done(Outcome),
    /// Whoever waits, and who comes meanwhile, can be answered so; the fill goes on.
    Meanwhile(Outcome),
    /// A part is in the store.
    Progress {
        /// Bytes of the part.
        bytes: u64,
        /// Bytes of the object.
        total: u64,
    },
    /// Come back with [`Input::Deadline`] after this time. A fill waits for one time only.
    Wait(Duration),
    /// The origin behind this cluster gave a whole object where a part was asked for; so it will the next time.
    Unranged(String),
    /// Something that an operator must see.
    Warn(&'static str),
}

/// A request and where it goes.
#[derive(Debug)]
pub struct Call {
    /// Its name in this fill.
    pub id: CallId,
    /// Who is asked.
    pub to: Upstream,
    /// What is asked.
    pub request: Request,
    /// Bound on all of it, from sending to the response's last byte.
    pub timeout: Duration,
}

/// What is wanted. Requests that want the same share a fill.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FillKey {
    /// The object.
    pub key: Key,
    /// It was asked for with HEAD, which the rules treat otherwise than GET.
    pub head: bool,
    /// What of the client's request the origins get.
    pub forwarded: Forwarded,
}

/// What is to be filled, and from where.
#[derive(Clone, Debug)]
pub struct FillRequest {
    /// What is wanted.
    pub fill_key: Rc<FillKey>,
    /// How.
    pub mirror: Rc<Mirror>,
    /// How else, in order, when the origins say that they do not have it.
    pub then: Vec<Rc<Mirror>>,
    /// The bucket is asked first, because the miss was a 403.
    pub check: bool,
}

impl FillRequest {
    /// What a request leads to that a rule mirrors in this way; `headers` are those of it that some rule lists.
    pub fn new(
        rules: &[Rule],
        mirror: &Rc<Mirror>,
        target: &Target,
        headers: &[(String, String)],
        check: bool,
    ) -> Self {
        let chain = rule::chain(rules, target.method, &target.key);
        let apart = mirror.on_head == OnHead::Origin || rules.iter().any(|rule| !rule.methods.is_empty());
        let fill_key = FillKey {
            key: target.key.clone(),
            head: target.method == Method::Head && apart,
            forwarded: Forwarded::of(target.query(), headers, &chain),
        };
        Self { fill_key: Rc::new(fill_key), mirror: mirror.clone(), then: chain.into_iter().skip(1).collect(), check }
    }

    /// Only the origin's headers are wanted, and nothing is stored.
    pub fn is_head(&self) -> bool {
        self.fill_key.head && self.mirror.on_head == OnHead::Origin
    }

    /// The client is sent to the origin itself, whatever becomes of the fill, and of the bucket nothing is asked before.
    pub fn is_background(&self) -> bool {
        self.mirror.response == ResponseMode::Origin && !self.check && !self.is_head()
    }
}

/// What a fill is to do; the same in all its states.
#[derive(Debug)]
struct Job {
    bucket: Bucket,
    limits: Limits,
    request: FillRequest,
    /// How it is tried now.
    mirror: Rc<Mirror>,
    /// How many of the order's other mirrors were tried before.
    tried: usize,
    /// How an origin failed that may have the object: that another does not have it proves nothing then.
    doubt: Option<Outcome>,
    random: Random,
    calls: u32,
    /// Headers that each call carries.
    trace: Trace,
    /// The name of the origin that was asked last; empty before.
    origin: String,
    /// How origins failed, by the outcome's label.
    failures: Vec<&'static str>,
    /// Bytes that the origin's first answer may have.
    expected: u64,
    /// The origins give whole objects where parts are asked for.
    unranged: bool,
    /// Bytes that the fill may hold.
    budget: u64,
}

impl Fill {
    /// A fill that has not begun. `seed` is where its jitter comes from.
    pub fn new(config: &Config, request: FillRequest, seed: u64) -> Self {
        let job = Job {
            bucket: config.bucket.clone(),
            limits: config.limits.clone(),
            mirror: request.mirror.clone(),
            request,
            tried: 0,
            doubt: None,
            random: Random(seed),
            calls: 0,
            trace: Trace::default(),
            origin: String::new(),
            failures: Vec::new(),
            expected: config.limits.part_size,
            unranged: false,
            budget: 0,
        };
        Self { job, state: State::Idle }
    }

    /// Has a fill that has not begun expect whole objects from its origins.
    pub fn expect_unranged(&mut self) {
        self.job.expected = MAX_PART_SIZE;
        self.job.unranged = true;
    }

    /// Has the calls of a fill that has not begun carry these headers.
    pub fn carry(&mut self, trace: Trace) {
        self.job.trace = trace;
    }

    /// Takes one input and says what is to be done now. `spare` is how many bytes the fill may hold beyond its
    /// [`memory`](Self::memory). An input that cannot be ends the fill with [`Outcome::Broken`].
    #[must_use]
    pub fn handle(mut self, input: Input, spare: u64) -> (Self, Vec<Action>) {
        self.job.budget = self.memory().saturating_add(spare);
        let (state, actions) = self.state.handle(&mut self.job, input);
        self.state = state;
        (self, actions)
    }

    /// Bytes of the object that the fill holds, or will when the calls that it made come back.
    pub fn memory(&self) -> u64 {
        self.state.memory(&self.job)
    }

    /// What its calls carry.
    pub fn trace(&self) -> &Trace {
        &self.job.trace
    }

    /// The name of the origin that was asked last; empty if none was.
    pub fn origin(&self) -> &str {
        &self.job.origin
    }

    /// How origins failed to give the object so far, by the label of the outcome that this makes if no other has it.
    pub fn failures(&self) -> &[&'static str] {
        &self.job.failures
    }

    /// How it is filled, now.
    pub fn mirror(&self) -> &Rc<Mirror> {
        &self.job.mirror
    }
}

impl Job {
    fn call(&mut self, to: Upstream, mut request: Request, timeout: Duration) -> (CallId, Action) {
        for (name, value) in self.trace.headers() {
            if !to.headers.iter().any(|(set, _)| set == name) {
                request.headers.push((name, value.clone()));
            }
        }
        let id = CallId(self.calls);
        self.calls = self.calls.wrapping_add(1);
        (id, Action::Call(Call { id, to, request, timeout }))
    }

    /// Whether clients are answered this way.
    fn responds(&self, mode: ResponseMode) -> bool {
        !self.request.is_head() && self.request.mirror.response == mode
    }

    fn store(&self) -> Upstream {
        let Bucket { cluster, authority, .. } = &self.bucket;
        Upstream { cluster: cluster.clone(), authority: authority.clone(), headers: Vec::new() }
    }
}

/// The longest wait before a second attempt; doubled before each further one. AWS's SDKs begin as short.
const BACKOFF: Duration = Duration::from_millis(100);

impl Job {
    /// Waits for the next attempt; `attempts` were made.
    fn back_off(&mut self, attempts: u32) -> Action {
        let doublings = attempts.saturating_sub(1);
        Action::Wait(self.random.jitter(BACKOFF.saturating_mul(2_u32.saturating_pow(doublings))))
    }
}

/// Numbers that only have to differ between workers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between half of `longest` and all of it, so that fills that failed together do not come back together.
    fn jitter(&mut self, longest: Duration) -> Duration {
        let half = longest.checked_div(2).unwrap_or(longest);
        // The upper 10 bits: a step of 1024.
        let step = u32::try_from(self.next() >> 54).unwrap_or(0);
        half.saturating_add(half.saturating_mul(step).checked_div(1024).unwrap_or_default())
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
