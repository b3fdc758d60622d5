//! What the API is told besides the use cases.

use std::sync::Arc;

use cvm_core::limit::Rate;
use cvm_core::time::Span;

use crate::limit::{Limits, Network};
use crate::observer::Observer;

/// What the API is told besides the use cases.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where devices find the device listener: `https://host:port`.
    pub public_url: String,
    /// Where devices find MQTT: `host:port`; `None` while that listener is off.
    pub mqtt_endpoint: Option<String>,
    /// Whether the device listener has the operator routes as well.
    pub operator_on_device_listener: bool,
    /// How often one address may be refused.
    pub refusals_per_address: Rate,
    /// Whose refusals are not counted.
    pub trusted_networks: Vec<Network>,
    /// Proxies that end TLS, which tell who is behind them; nobody else is believed that.
    pub trusted_proxies: Vec<Network>,
    /// What connections and requests may cost.
    pub limits: Limits,
    /// Who is told what happens.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Settings {
    /// The defaults for a device listener that devices find at `public_url`.
    #[must_use]
    pub fn new(public_url: String) -> Self {
        Self {
            public_url,
            mqtt_endpoint: None,
            operator_on_device_listener: false,
            refusals_per_address: Rate { count: 60, per: Span::MINUTE },
            trusted_networks: Vec::new(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            observer: None,
        }
    }
}
