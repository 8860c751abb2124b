//! How far apart two points on the globe are.

use crate::model::Location;

/// The mean radius of the Earth (IUGG), in kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// The great-circle distance in kilometres, by the haversine formula: right over the antimeridian and at the poles,
/// and accurate for near points, where the spherical law of cosines is not.
pub fn great_circle_km(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.lat.to_radians(), b.lat.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.lon - a.lon).to_radians() / 2.0).sin();
    let haversine = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_KM * haversine.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64, lon: f64) -> Location {
        Location { lat, lon }
    }

    #[test]
    fn known_distances() {
        // Frankfurt to Ashburn is about 6,510 km, to Singapore about 10,280 km.
        assert!((great_circle_km(at(50.11, 8.68), at(39.04, -77.49)) - 6_510.0).abs() < 40.0);
        assert!((great_circle_km(at(50.11, 8.68), at(1.35, 103.82)) - 10_280.0).abs() < 40.0);
        let half = std::f64::consts::PI * EARTH_RADIUS_KM;
        assert!((great_circle_km(at(0.0, 0.0), at(0.0, 180.0)) - half).abs() < 1e-6);
    }

    #[test]
    fn fiji_is_near_samoa_over_the_antimeridian() {
        let fiji = at(-18.1, 178.4);
        assert!(great_circle_km(fiji, at(-13.8, -171.8)) < 1_300.0);
        assert!((great_circle_km(at(10.0, 179.9), at(10.0, -179.9)) - 21.9).abs() < 0.5);
    }

    #[test]
    fn at_a_pole_longitude_means_nothing() {
        assert!(great_circle_km(at(90.0, 0.0), at(90.0, 180.0)) < 1e-6);
        assert!((great_circle_km(at(-89.9, 0.0), at(-89.9, 180.0)) - 22.2).abs() < 0.5);
    }
}
