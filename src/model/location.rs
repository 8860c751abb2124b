//! A point on the globe.

/// Latitude and longitude in degrees (WGS 84), checked to lie in −90..=90 and −180..=180 where it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
}
