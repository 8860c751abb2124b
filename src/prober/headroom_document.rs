//! A document of headroom, from the bytes that were read.
//!
//! Fields that are not known are passed over, so that publishers may be newer than readers. What is known must be as said: a
//! figure that is no whole number is no load.

use serde::Deserialize;

use crate::health::headroom::Headroom;
use crate::health::headroom::Room;

/// The longest name of a region or pool.
const NAME_BYTES_MAX: usize = 255;
/// Larger figures are not requests.
const FIGURE_MAX: u64 = 1 << 53;

#[derive(Deserialize)]
struct Document {
    regions: Vec<Entry>,
    #[serde(default)]
    pools: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    in_flight: u64,
    #[serde(default)]
    queue: u64,
    capacity: u64,
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse(bytes: &[u8]) -> Result<Headroom, String> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("not a document of headroom: {error}"))?;
    let rooms = |entries: Vec<Entry>| entries.into_iter().map(room).collect::<Result<Vec<Room>, String>>();
    Ok(Headroom { regions: rooms(document.regions)?, pools: rooms(document.pools)? })
}

fn room(entry: Entry) -> Result<Room, String> {
    let Entry { name, in_flight, queue, capacity } = entry;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name of {} bytes", name.len()));
    }
    match [in_flight, queue, capacity].iter().find(|figure| **figure > FIGURE_MAX) {
        Some(figure) => Err(format!("{figure} requests of {}", name.escape_debug())),
        None => Ok(Room { name, in_flight, queue, capacity }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn newer_publishers_are_understood_and_nonsense_is_told() {
        let text = r#"{"now": "…", "more": {}, "regions": [{"name": "eu", "in_flight": 7, "queue": 2, "capacity": 10, "load": 0.9}]}"#;
        let headroom = parse(text.as_bytes()).unwrap();
        assert_eq!(headroom.regions, [Room { name: "eu".into(), in_flight: 7, queue: 2, capacity: 10 }]);
        for (text, why) in [
            ("", "EOF"),
            ("[]", "not a document"),
            (r#"{"regions": [{"name": "eu", "in_flight": -1, "capacity": 10}]}"#, "-1"),
            (r#"{"regions": [{"name": "eu", "in_flight": 0.5, "capacity": 10}]}"#, "0.5"),
            (r#"{"regions": [{"name": "eu", "in_flight": 1}]}"#, "capacity"),
            (r#"{"regions": [{"name": "", "in_flight": 1, "capacity": 1}]}"#, "a name of 0 bytes"),
            (r#"{"regions": [{"name": "eu", "in_flight": 18446744073709551615, "capacity": 1}]}"#, "requests of eu"),
        ] {
            let told = parse(text.as_bytes()).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    fn rooms() -> impl Strategy<Value = Vec<Room>> {
        let room = ("\\PC{1,20}", 0..=FIGURE_MAX, 0..=FIGURE_MAX, 0..=FIGURE_MAX);
        let room = room.prop_map(|(name, in_flight, queue, capacity)| Room { name, in_flight, queue, capacity });
        prop::collection::vec(room, 0..5)
    }

    proptest! {
        /// No bytes panic, and what is read has loads that can be reckoned with.
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at in 0usize..200, byte: u8) {
            let _ = parse(&bytes);
            let mut text = br#"{"regions": [{"name": "eu", "in_flight": 7, "queue": 2, "capacity": 10}], "pools": []}"#.to_vec();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            if let Ok(headroom) = parse(&text) {
                prop_assert!(headroom.regions.iter().all(|room| room.load().is_finite() && room.load() >= 0.0));
            }
        }

        /// What was written is read.
        #[test]
        fn what_was_written_is_read(regions in rooms(), pools in rooms()) {
            let said = |rooms: &[Room]| {
                let one = |room: &Room| serde_json::json!({
                    "name": room.name, "in_flight": room.in_flight, "queue": room.queue, "capacity": room.capacity,
                });
                rooms.iter().map(one).collect::<Vec<_>>()
            };
            let text = serde_json::json!({ "regions": said(&regions), "pools": said(&pools) }).to_string();
            prop_assert_eq!(parse(text.as_bytes()), Ok(Headroom { regions, pools }));
        }
    }
}
