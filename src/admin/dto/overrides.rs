//! Orders of operators: what is said of them, and how they are given.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// What may be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// New clients go elsewhere; probes go on.
    Drain,
    /// Out for maintenance.
    Maint,
    /// Counts as up, whatever probes find.
    Up,
    /// Counts as down, whatever probes find.
    Down,
    /// Another weight than the configuration's; endpoints only.
    Weight,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It begins later; TTLs are lowered ahead of it.
    Planned,
    /// It counts now.
    InForce,
    /// What it is for is not in the configuration; it counts again when that is.
    Dormant,
}

/// An order that was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// `region`, `pool` or `endpoint`.
    pub kind: String,
    /// `eu-west`, `eu-web`, `eu-web/192.0.2.10`.
    pub name: String,
    /// What was ordered.
    pub state: OrderState,
    /// The weight ordered, with `weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When it was ordered.
    pub since: String,
    /// When it takes effect.
    pub begins: String,
    /// When it ends by itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether it survives a restart.
    pub persistent: bool,
}

/// `PUT /v1/overrides/{kind}/{name}`: what is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideOrdered {
    /// What to order.
    pub state: OrderState,
    /// The weight, with `weight`; 0: only when every other is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it takes effect, RFC 3339; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<String>,
    /// The same as a time from now: `10m`.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub begins_in: Option<String>,
    /// When it ends by itself, RFC 3339; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The same as a time from its beginning: `30m`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// Even if it leaves a VIP without a healthy pool.
    #[serde(default)]
    pub force: bool,
}

/// An order was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideTaken {
    /// As it is kept.
    #[serde(rename = "override")]
    pub taken: Override,
    /// What the operator should know: that it does not survive a restart.
    pub warnings: Vec<String>,
}

/// Orders were ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideEnded {
    /// As they were; none when nothing was ordered.
    pub ended: Vec<Override>,
}
