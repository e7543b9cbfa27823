//! What a turn of the engine takes out of its inbox: so many items and no more, so that commits and
//! answers do not wait for the heartbeats of everybody.
//!
//! Nothing expires before all is taken that had come by then: heartbeats that were read in time
//! count.

use tokio::sync::mpsc;

use crate::registry::command::Command;
use crate::registry::engine::Engine;

/// The queue of commands.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    /// How many are to be taken before anything may expire.
    owed: usize,
}

impl Inbox {
    pub(super) fn new(commands: mpsc::Receiver<Command>) -> Self {
        Self { commands, owed: 0 }
    }

    /// The next command; `None` when every handle is gone. Waits for one.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        let command = self.commands.recv().await;
        self.owed = self.owed.saturating_sub(1);
        command
    }

    /// The next of those that are owed.
    fn next(&mut self) -> Option<Command> {
        self.owed = self.owed.checked_sub(1)?;
        let command = self.commands.try_recv().ok();
        if command.is_none() {
            self.owed = 0;
        }
        command
    }
}

impl Engine {
    /// Takes what has come, or as much of it as one turn may. Whether that is all.
    pub(super) fn take_some(&mut self) -> bool {
        if self.inbox.owed == 0 {
            self.inbox.owed = self.inbox.commands.len();
        }
        let mut items = 0;
        while items < MAX_ITEMS
            && let Some(command) = self.inbox.next()
        {
            items += command.size();
            self.take(command);
        }
        self.inbox.owed == 0
    }
}

/// Items taken in one turn, but for those of its last command.
const MAX_ITEMS: usize = 8_192;

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::model::{Author, Declared, HealthPolicy, Image, Limits, Millis, Share};
    use crate::model::{InstanceId, ServiceName};
    use crate::registry::Registry;
    use crate::registry::command::Renewal;
    use crate::registry::plan::{Names, Policy};

    fn engine() -> (Registry, Engine) {
        let policy = Policy {
            declared: std::sync::Arc::new(Declared::default()),
            limits: Limits::default(),
            forget_after: std::time::Duration::from_secs(600),
            reverse: Vec::new(),
            health: HealthPolicy::default(),
            protect: Share::default(),
        };
        let names = Names { zone_length: 13, server: "ns1".into() };
        Registry::new(Image::default(), policy, names, mpsc::channel(1).0)
    }

    fn heartbeats(number: usize) -> Command {
        let renewal = Renewal {
            service: ServiceName::new("web").unwrap(),
            id: InstanceId::new("web-1").unwrap(),
            generation: None,
            status: None,
            load: None,
            read_at: Millis(1),
        };
        Command::Renew(Author::default(), vec![renewal; number], oneshot::channel().0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_takes_so_many_items_and_all_that_had_come_before_anything_expires() {
        let (registry, mut engine) = engine();
        let send = |number| registry.commands.try_send(heartbeats(number)).unwrap();
        for _ in 0..3 {
            send(MAX_ITEMS);
        }

        assert!(!engine.take_some());
        assert_eq!(engine.inbox.commands.len(), 2);
        // What comes later is not waited for.
        send(1);
        assert!(!engine.take_some());
        assert!(engine.take_some());
        assert_eq!(engine.inbox.commands.len(), 1);
        assert!(engine.take_some());
        assert!(engine.take_some(), "there is nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn small_commands_are_taken_together() {
        let (registry, mut engine) = engine();
        for _ in 0..MAX_ITEMS {
            registry.commands.try_send(heartbeats(0)).unwrap();
        }

        assert!(engine.take_some());
        assert_eq!(engine.inbox.commands.len(), 0);
    }
}
