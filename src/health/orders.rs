//! Everything operators have ordered, by subject: the store of intent, beside that of observation.
//!
//! A subject has at most one order of state and, if it is an endpoint, one of weight. Orders wait here for their time
//! ([`Phase::Planned`]) and, when a reload has taken their subject away, for its return ([`Phase::Dormant`]): a pool that
//! is renamed by mistake must not come back in traffic because its drain was forgotten. What counts at this moment stands
//! in [`Standings`], too; the ledger brings it there. Nothing here knows the time by itself.
//!
//! [`Standings`]: crate::health::standings::Standings

use std::collections::BTreeMap;

use crate::health::forced::{Aspect, Forced, Phase};
use crate::health::names::{Directory, Subject, SubjectName};
use crate::model::{Model, Moment};

/// The most orders kept. Regions and pools are there to order more than a few endpoints at once; ten thousand fill a
/// file of three megabytes, which is still written in a moment.
pub const ORDERS_MAX: usize = 10_000;

/// The orders of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Drain, maint, up or down.
    pub state: Option<Forced>,
    /// Another weight.
    pub weight: Option<Forced>,
}

impl Given {
    /// Both.
    pub fn each(&self) -> impl Iterator<Item = &Forced> {
        self.state.iter().chain(&self.weight)
    }

    /// The one of an aspect.
    pub fn of(&self, aspect: Aspect) -> Option<&Forced> {
        match aspect {
            Aspect::State => self.state.as_ref(),
            Aspect::Weight => self.weight.as_ref(),
        }
    }

    fn slot(&mut self, aspect: Aspect) -> &mut Option<Forced> {
        match aspect {
            Aspect::State => &mut self.state,
            Aspect::Weight => &mut self.weight,
        }
    }

    /// When either next begins or ends by itself.
    pub fn changes_after(&self, now: Moment) -> Option<Moment> {
        self.each().filter_map(|forced| forced.changes_after(now)).min()
    }
}

/// Where an order is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// With a subject of the present model.
    Live(Subject),
    /// With a name that the present model does not have.
    Dormant(SubjectName),
}

/// An order as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderListed {
    /// `endpoint/eu-web/192.0.2.10`: what ends it again.
    pub subject: String,
    /// `region`, `pool` or `endpoint`.
    pub kind: &'static str,
    /// Without the kind: `eu-web/192.0.2.10`.
    pub name: String,
    /// The order.
    pub forced: Forced,
    /// Where it stands.
    pub phase: Phase,
}

/// Every order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    live: BTreeMap<Subject, Given>,
    dormant: BTreeMap<SubjectName, Given>,
}

impl Orders {
    /// The orders of a subject.
    pub fn of(&self, subject: Subject) -> Option<&Given> {
        self.live.get(&subject)
    }

    /// The orders kept at a place.
    pub fn at(&self, place: &Place) -> Option<&Given> {
        match place {
            Place::Live(subject) => self.live.get(subject),
            Place::Dormant(name) => self.dormant.get(name),
        }
    }

    /// Those of subjects that the model has, in the order of the ids.
    pub fn live(&self) -> impl Iterator<Item = (Subject, &Given)> {
        self.live.iter().map(|(subject, given)| (*subject, given))
    }

    /// Those of names that the model does not have.
    pub fn dormant(&self) -> impl Iterator<Item = (&SubjectName, &Given)> {
        self.dormant.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.dormant.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.values().chain(self.dormant.values()).flat_map(Given::each).count()
    }

    /// Keeps an order in place of a former one of its aspect.
    pub fn set(&mut self, place: Place, forced: Forced) {
        let given = match place {
            Place::Live(subject) => self.live.entry(subject).or_default(),
            Place::Dormant(name) => self.dormant.entry(name).or_default(),
        };
        let aspect = forced.order.aspect();
        *given.slot(aspect) = Some(forced);
    }

    /// Ends the order of an aspect; every one when none is named. What was ended.
    pub fn end(&mut self, place: &Place, aspect: Option<Aspect>) -> Vec<Forced> {
        let ended = |given: &mut Given| {
            let aspects = aspect.map_or(vec![Aspect::State, Aspect::Weight], |aspect| vec![aspect]);
            let ended: Vec<Forced> = aspects.into_iter().filter_map(|aspect| given.slot(aspect).take()).collect();
            (ended, given.each().next().is_none())
        };
        let (ended, empty) = match place {
            Place::Live(subject) => self.live.get_mut(subject).map(ended),
            Place::Dormant(name) => self.dormant.get_mut(name).map(ended),
        }
        .unwrap_or_default();
        if empty {
            match place {
                Place::Live(subject) => drop(self.live.remove(subject)),
                Place::Dormant(name) => drop(self.dormant.remove(name)),
            }
        }
        ended
    }

    /// Where those are whose end has come, with the aspect.
    pub fn over(&self, now: Moment) -> Vec<(Place, Aspect)> {
        let live = self.live.iter().map(|(subject, given)| (Place::Live(*subject), given));
        let dormant = self.dormant.iter().map(|(name, given)| (Place::Dormant(name.clone()), given));
        let over = |(place, given): (Place, &Given)| {
            let over = given.each().filter(|forced| !forced.holds_at(now));
            over.map(|forced| (place.clone(), forced.order.aspect())).collect::<Vec<_>>()
        };
        live.chain(dormant).flat_map(over).collect()
    }

    /// When the next one begins or ends by itself.
    pub fn changes_after(&self, now: Moment) -> Option<Moment> {
        self.live.values().chain(self.dormant.values()).filter_map(|given| given.changes_after(now)).min()
    }

    /// Every order under the name of its subject, as it is kept from one model or run to the next.
    pub fn named<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = (SubjectName, &'a Forced)> {
        let live = self.live.iter().map(|(subject, given)| (SubjectName::of(model, *subject), given));
        let dormant = self.dormant.iter().map(|(name, given)| (name.clone(), given));
        live.chain(dormant).flat_map(|(name, given)| given.each().map(move |forced| (name.clone(), forced)))
    }

    /// The same orders under the ids of another model. Those whose subject it does not have sleep, and wake up when one
    /// of that name is back.
    pub fn carried_over(&self, old: &Model, new: &Model) -> Orders {
        let mut carried = Orders::default();
        if self.is_empty() {
            return carried;
        }
        let directory = Directory::of(new);
        for (name, forced) in self.named(old) {
            let place = directory.find(&name).map_or(Place::Dormant(name), Place::Live);
            carried.set(place, forced.clone());
        }
        carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::forced::Order;
    use crate::model::{PoolId, RegionId};

    fn forced(order: Order, begins: u64, until: Option<u64>) -> Forced {
        let (reason, by, since) = (String::new(), "ada".into(), Moment(0));
        Forced { order, reason, by, since, begins: Moment::from_secs(begins), until: until.map(Moment::from_secs) }
    }

    #[test]
    fn a_state_and_a_weight_stand_beside_each_other() {
        let mut orders = Orders::default();
        let place = Place::Live(Subject::Pool(PoolId(3)));
        orders.set(place.clone(), forced(Order::Drain, 0, None));
        orders.set(place.clone(), forced(Order::Weight(5), 0, None));
        orders.set(place.clone(), forced(Order::Maint, 0, None));
        assert_eq!(
            orders.at(&place).unwrap().each().map(|f| f.order).collect::<Vec<_>>(),
            [Order::Maint, Order::Weight(5)]
        );
        assert_eq!(orders.end(&place, Some(Aspect::State)).len(), 1);
        assert_eq!(orders.len(), 1);
        assert_eq!(orders.end(&place, None).len(), 1);
        assert!(orders.is_empty() && orders.end(&place, None).is_empty());
    }

    #[test]
    fn the_next_change_is_the_soonest_to_come() {
        let mut orders = Orders::default();
        orders.set(Place::Live(Subject::Region(RegionId(0))), forced(Order::Drain, 50, Some(90)));
        orders.set(Place::Dormant(SubjectName::Pool("gone".into())), forced(Order::Drain, 0, Some(70)));
        let changes = [0, 50, 70, 90].map(|s| orders.changes_after(Moment::from_secs(s)).map(Moment::secs));
        assert_eq!(changes, [Some(50), Some(70), Some(90), None]);
        assert_eq!(orders.over(Moment::from_secs(70)).len(), 1);
        assert_eq!(orders.over(Moment::from_secs(90)).len(), 2);
    }
}
