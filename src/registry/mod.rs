//! The registry: what is known, who may change it, how readers see it.
//!
//! [`Registry`] is the handle that fronts hold: reads go to published views without waiting, writes
//! go to the [`Engine`], the one task that changes anything. Nothing here knows DNS or HTTP.

mod addresses;
mod by_name;
mod capture;
mod checks;
mod clock;
mod command;
mod declare;
mod engine;
mod index;
mod instance;
mod journal;
mod lapses;
mod leases;
mod load;
mod locality;
mod lull;
mod narrow;
mod observed;
mod op;
mod outliers;
mod overload;
mod owners;
mod panic;
mod plan;
mod pools;
mod protect;
mod publish;
mod ramps;
mod refusal;
mod renew;
mod reply;
mod roster;
mod selection;
mod service;
mod shown;
mod state;
mod targets;
#[cfg(test)]
mod tests;
mod tokens;
mod totals;
mod trail;
mod vantage;
mod view;
mod views;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot};

pub use addresses::Addresses;
pub use by_name::Pinned;
pub use capture::Capture;
pub use checks::{Basis, CheckView, Latest};
pub use clock::Clock;
pub use command::{EngineStats, Observation, PersistRequest, Reloaded, Renewal, Renewed, Written};
pub use engine::Engine;
pub use index::{Owner, ServiceType};
pub use instance::{InstanceView, Source, Vitals};
pub use journal::{Event, EventKind, Journal, Reason};
pub use narrow::Narrow;
pub use observed::{Ejected, Findings, Observed, Suspect};
pub use outliers::{Cause, INTERVAL as OUTCOME_INTERVAL, Outcomes};
pub use owners::{OwnerNumber, Owners};
pub use panic::Panic;
pub use plan::{Misfit, Names, Policy};
pub use pools::{Selected, Selector};
pub use ramps::Weighing;
pub use refusal::Refusal;
pub use selection::{Family, PortChoice, Selection};
pub use targets::{Target, Targets};
use tokens::Board;
pub use tokens::Tokens;
pub use trail::{Deed, Entry, Shown, Tap, Trigger, Turn};
pub use view::ServiceView;
pub use views::Views;

use crate::model::{
    Author, Image, InstanceId, InstancePatch, InstanceSpec, Network, Outcome, Revision,
    ServiceName, Settings, SettingsPatch, Token, TokenId,
};
use command::Command;
use engine::{Parts, QUEUE};
use plan::Write;
use reply::Reply;

/// The handle to the registry, for nobody in particular or on behalf of somebody. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    views: Arc<Views>,
    journal: Arc<Journal>,
    stats: Arc<EngineStats>,
    tokens: Arc<Board>,
    clock: Clock,
    author: Author,
}

impl Registry {
    /// A registry with what `image` stores and `policy` declares, already published, and the engine
    /// that must be run for it to change. The engine sends its commits to `persist`, one at a time.
    #[must_use]
    pub fn new(
        image: Image,
        policy: Policy,
        names: Names,
        persist: mpsc::Sender<PersistRequest>,
    ) -> (Self, Engine) {
        Self::seeded(image, policy, names, persist, SmallRng::from_rng(&mut rand::rng()))
    }

    /// As [`Registry::new`], with the chance that orders and counters start by: two of one seed
    /// answer alike.
    #[must_use]
    pub fn seeded(
        image: Image,
        policy: Policy,
        names: Names,
        persist: mpsc::Sender<PersistRequest>,
        rng: SmallRng,
    ) -> (Self, Engine) {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let clock = Clock::start();
        let views = Arc::new(Views::new());
        let journal = Arc::new(Journal::new(image.revision.next()));
        let stats = Arc::new(EngineStats::default());
        let tokens = Arc::new(Board::new());
        let engine = Engine::new(Parts {
            image,
            policy,
            names,
            clock,
            inbox,
            persist,
            views: Arc::clone(&views),
            journal: Arc::clone(&journal),
            tokens: Arc::clone(&tokens),
            stats: Arc::clone(&stats),
            rng,
        });
        let author = Author::default();
        (Self { commands, views, journal, stats, tokens, clock, author }, engine)
    }

    /// The same registry, for writes on behalf of `author`.
    #[must_use]
    pub fn by(&self, author: impl Into<Author>) -> Self {
        Self { author: author.into(), ..self.clone() }
    }

    /// The tokens there are.
    #[must_use]
    pub fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read()
    }

    /// A bell that rings when the tokens are others: who may go on has to be asked again.
    #[must_use]
    pub fn tokens_bell(&self) -> tokio::sync::watch::Receiver<()> {
        self.tokens.bell()
    }

    /// The published views.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// The recent changes.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// The clock that leases run by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Registers or replaces an instance.
    ///
    /// # Errors
    /// When the instance is illegal, declared by the file, over a limit, or cannot be stored.
    pub async fn register(
        &self,
        service: ServiceName,
        id: InstanceId,
        spec: InstanceSpec,
    ) -> Result<Written, Refusal> {
        let (service_name, instance_id) = (service.clone(), id.clone());
        let write = Write::Register { service, id, spec };
        self.write(write, |reply| Reply::Instance(service_name, instance_id, reply)).await
    }

    /// Merges `patch` into an instance.
    ///
    /// # Errors
    /// When there is no such instance, the result is illegal, or it cannot be stored.
    pub async fn patch(
        &self,
        service: ServiceName,
        id: InstanceId,
        patch: InstancePatch,
    ) -> Result<Written, Refusal> {
        let (service_name, instance_id) = (service.clone(), id.clone());
        let write = Write::Patch { service, id, patch };
        self.write(write, |reply| Reply::Instance(service_name, instance_id, reply)).await
    }

    /// Takes an instance out; one that is not there is out already.
    ///
    /// # Errors
    /// When the file declares it, or it cannot be stored.
    pub async fn deregister(
        &self,
        service: ServiceName,
        id: InstanceId,
    ) -> Result<Revision, Refusal> {
        self.write(Write::Deregister { service, id }, Reply::Revision).await
    }

    /// Makes `patch` the whole override of the service's settings, and declares the service.
    ///
    /// # Errors
    /// When a limit is reached or it cannot be stored.
    pub async fn set_override(
        &self,
        service: ServiceName,
        patch: SettingsPatch,
    ) -> Result<(Settings, Revision), Refusal> {
        let name = service.clone();
        let write = Write::Override { service, patch };
        self.write(write, |reply| Reply::Settings(name, reply)).await
    }

    /// Forgets a service; one that is not known is forgotten already.
    ///
    /// # Errors
    /// When it has instances, the file declares it, or it cannot be stored.
    pub async fn forget(&self, service: ServiceName) -> Result<Revision, Refusal> {
        self.write(Write::Forget { service }, Reply::Revision).await
    }

    /// Deregisters, then registers, all or nothing, as one revision.
    ///
    /// # Errors
    /// When any item is refused; the error names its field, e.g. `register[3].weight`.
    pub async fn batch(
        &self,
        deregister: Vec<(ServiceName, InstanceId)>,
        register: Vec<(ServiceName, InstanceId, InstanceSpec)>,
    ) -> Result<Revision, Refusal> {
        self.write(Write::Batch { deregister, register }, Reply::Revision).await
    }

    /// Adds a token, which holds when this returns.
    ///
    /// # Errors
    /// When a limit is reached or it cannot be stored.
    pub async fn add_token(&self, token: Token) -> Result<Revision, Refusal> {
        self.write(Write::AddToken(Arc::new(token)), Reply::Revision).await
    }

    /// Removes a token, which no longer holds when this returns.
    ///
    /// # Errors
    /// When there is no such token, or that cannot be stored.
    pub async fn revoke_token(&self, id: TokenId) -> Result<Revision, Refusal> {
        self.write(Write::RevokeToken(id), Reply::Revision).await
    }

    /// Renews leases; results are in order.
    ///
    /// # Errors
    /// When a change of status cannot be stored; the leases are renewed all the same.
    pub async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Renewed>, Refusal> {
        let author = self.author.clone();
        self.ask(|reply| Command::Renew(author, renewals, reply)).await
    }

    /// Takes in what checks of instances say; of those that are gone nothing. All of it is one
    /// revision, and none when nothing is different from before.
    ///
    /// # Errors
    /// Only when the server is shutting down.
    pub async fn observe(&self, observations: Vec<Observation>) -> Result<(), Refusal> {
        self.ask(|reply| Command::Observe(observations, reply)).await
    }

    /// Takes in what clients saw of instances of `service`; says of each whether it is known. What
    /// follows from it is visible then.
    ///
    /// # Errors
    /// When there is no such service.
    pub async fn report(
        &self,
        service: ServiceName,
        outcomes: Vec<Outcome>,
    ) -> Result<Vec<(InstanceId, bool)>, Refusal> {
        let author = self.author.clone();
        self.ask(|reply| Command::Report(author, service, outcomes, reply)).await
    }

    /// What clients saw lately of the instances of `service`, those of which anything is known.
    ///
    /// # Errors
    /// When there is no such service.
    pub async fn outcomes(&self, service: ServiceName) -> Result<Vec<Outcomes>, Refusal> {
        self.ask(|reply| Command::Outcomes(service, reply)).await
    }

    /// Looks up the owners of addresses in `ranges`, and of no others: ahead of a policy that says
    /// so, for who is about to ask.
    ///
    /// # Errors
    /// Only when the server is shutting down.
    pub async fn cover(&self, ranges: Vec<Network>) -> Result<(), Refusal> {
        self.ask(|reply| Command::Cover(ranges, reply)).await
    }

    /// Everything durable as of one revision, to be read at leisure.
    ///
    /// # Errors
    /// Only when the server is shutting down.
    pub async fn capture(&self) -> Result<Capture, Refusal> {
        self.ask(Command::Capture).await
    }

    /// Puts a new policy in force. `statics_changed` tells that static records, which the registry
    /// does not know, are others since the last time: that is a revision too.
    ///
    /// # Errors
    /// Only when the server is shutting down.
    pub async fn reload(&self, policy: Policy, statics_changed: bool) -> Result<Reloaded, Refusal> {
        let (author, policy) = (self.author.clone(), Box::new(policy));
        self.ask(|reply| Command::Reload { author, policy, statics_changed, reply }).await
    }

    /// Whether the engine takes commands and answers them. Waits as long as it takes.
    pub async fn answers(&self) -> bool {
        self.renew(Vec::new()).await.is_ok()
    }

    /// Ends the engine after everything that waits is durable; tells the last revision.
    pub async fn shut_down(&self) -> Option<Revision> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::ShutDown(reply)).await.ok()?;
        done.await.ok()
    }

    /// Returns when the revision of `service` (without one: of the registry) is greater than
    /// `index`, or `wait` is over.
    pub async fn wait_for(&self, service: Option<&ServiceName>, index: Revision, wait: Duration) {
        let mut bell = self.journal.bell();
        let moved = || match service {
            None => self.views.revision() > index,
            Some(name) => {
                self.views.read(name.as_str(), |view| view.is_some_and(|v| v.revision > index))
            }
        };
        let changed = async { while !moved() && bell.changed().await.is_ok() {} };
        // The time is up or the condition holds; the caller reads either way.
        tokio::time::timeout(wait, changed).await.ok();
    }

    async fn write<T>(
        &self,
        write: Write,
        reply: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Reply,
    ) -> Result<T, Refusal> {
        let author = self.author.clone();
        self.ask(|sender| Command::Write(author, Box::new(write), reply(sender))).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Command,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        // A full queue makes callers wait; who goes away meanwhile leaves nothing behind. The engine
        // bounds what it has taken.
        self.commands.send(command(sender)).await.map_err(|_| Refusal::ShuttingDown)?;
        receiver.await.unwrap_or(Err(Refusal::ShuttingDown))
    }
}
