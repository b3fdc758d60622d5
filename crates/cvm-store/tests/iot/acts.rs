//! The use cases into which faults strike: what comes before, the act itself, and how it is asked
//! for again until it is answered.

use std::sync::Arc;

use cvm_core::certificate::Reason;
use cvm_core::device::Fate;
use cvm_core::id::CertificateId;
use cvm_core::provisioning::{
    Ask, GiveToken, NewToken, OperatorRefusal, Refusal, ThingFate, Vended, Whom,
};
use cvm_core::token::Token;
use zeroize::Zeroizing;

use crate::stage::Fault;
use crate::world::{World, serial};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Delete,
    Disable,
    Enable,
    NewToken,
    Renew,
    Replace,
    Revoke,
    /// The sweeper, after a request that was killed when the platform had made its certificate.
    Sweep,
    Vend,
    VendServerKey,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this certificate, or with nothing that is answered.
    Done(Option<CertificateId>),
    /// It has to be asked for again.
    NotNow,
}

impl Act {
    pub(crate) const ALL: [Self; 10] = [
        Self::Delete,
        Self::Disable,
        Self::Enable,
        Self::NewToken,
        Self::Renew,
        Self::Replace,
        Self::Revoke,
        Self::Sweep,
        Self::Vend,
        Self::VendServerKey,
    ];

    /// What comes before; the certificate that is there then.
    pub(crate) async fn prepare(self, world: &Arc<World>) -> Option<CertificateId> {
        match self {
            Self::Vend | Self::VendServerKey => None,
            Self::Sweep => {
                kill_at_create(world).await;
                None
            }
            Self::Replace | Self::Revoke | Self::Delete | Self::Disable | Self::NewToken => {
                Some(world.vend("K1").await.unwrap().certificate.id)
            }
            Self::Enable => {
                let id = world.vend("K1").await.unwrap().certificate.id;
                world.provisioning.device_disable(&serial(), "op").await.unwrap();
                Some(id)
            }
            Self::Renew => {
                let id = world.vend("K1").await.unwrap().certificate.id;
                world.confirm(id).await;
                Some(id)
            }
        }
    }

    pub(crate) async fn run(self, world: Arc<World>, before: Option<CertificateId>) -> Ended {
        let provisioning = &world.provisioning;
        match self {
            Self::Delete => {
                operated(provisioning.device_delete(&serial(), ThingFate::Remove, "op").await)
            }
            Self::Disable => operated(provisioning.device_disable(&serial(), "op").await),
            Self::Enable => operated(provisioning.device_enable(&serial(), "op").await),
            Self::NewToken => {
                let token = String::from("another-one-time-token");
                let token = NewToken::Brought(Token::unchecked(Zeroizing::new(token)));
                let give = GiveToken { token, expires: None, fate: Fate::Revoke, whom: Whom::Any };
                operated(provisioning.device_new_token(&serial(), give, "op").await)
            }
            Self::Renew => vended(world.renew(before.unwrap(), "K2").await),
            Self::Replace => vended(world.vend("K2").await),
            Self::Revoke => {
                let (id, reason) = (before.unwrap(), Reason::Unspecified);
                operated(provisioning.certificate_revoke(&id, reason, "op").await)
            }
            Self::Sweep => {
                provisioning.sweep().await;
                Ended::Done(None)
            }
            Self::Vend => vended(world.vend("K1").await),
            Self::VendServerKey => {
                let algorithm = cvm_core::key::KeyAlgorithm::EcP256;
                vended(world.ask(Ask::ServerKey(algorithm)).await)
            }
        }
    }

    /// Asks again until there is an answer.
    pub(crate) async fn insist(
        self,
        world: &Arc<World>,
        before: Option<CertificateId>,
    ) -> Option<CertificateId> {
        for _ in 0..5 {
            if let Ended::Done(id) = self.run(world.clone(), before).await {
                return id;
            }
            world.wait(61);
        }
        panic!("{self:?} is never answered");
    }
}

fn vended(vended: Result<Vended, Refusal>) -> Ended {
    match vended {
        Ok(vended) => Ended::Done(Some(vended.certificate.id)),
        Err(Refusal::Unavailable { .. }) => Ended::NotNow,
        Err(refusal) => panic!("{refusal}"),
    }
}

fn operated<T>(operated: Result<T, OperatorRefusal>) -> Ended {
    match operated {
        Ok(_) => Ended::Done(None),
        Err(OperatorRefusal::Unavailable(_)) => Ended::NotNow,
        Err(refusal) => panic!("{refusal}"),
    }
}

async fn kill_at_create(world: &Arc<World>) {
    for at in 0.. {
        world.stage.plan(Some((at, Fault::KilledAfter)));
        let request = tokio::spawn({
            let world = world.clone();
            async move { drop(world.vend("K1").await) }
        });
        world.stage.struck.notified().await;
        request.abort();
        drop(request.await);
        let struck = world.stage.calls()[at];
        world.wait(61);
        if matches!(struck, "certificate_create" | "certificate_register") {
            return;
        }
    }
}
