//! `CONTINENT[-COUNTRY[-SUBDIVISION]]`, as in `EU`, `EU-DE`, `NA-US-CA`.

use std::fmt;
use std::str::FromStr;

/// A geographic code: a continent (`AF AN AS EU NA OC SA`), a country in it (ISO 3166-1 alpha-2), a subdivision of
/// that (ISO 3166-2, the part after the country).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GeoCode {
    /// Two letters.
    pub continent: [u8; 2],
    /// Two letters.
    pub country: Option<[u8; 2]>,
    /// One to three letters or digits, padded with zero bytes.
    pub subdivision: Option<[u8; 3]>,
}

/// Why a text is no [`GeoCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeoCodeError {
    /// The first part is not one of the seven continents.
    Continent,
    /// The second part is not two letters.
    Country,
    /// The third part is not one to three letters or digits.
    Subdivision,
    /// There are more than three parts.
    Parts,
}

/// The seven continent codes that MaxMind's databases use.
pub const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

impl GeoCode {
    /// Whether `other` is this place or lies in it: `EU` holds `EU-DE`, `EU-DE` holds `EU-DE-BE`.
    pub fn holds(&self, other: &GeoCode) -> bool {
        self.continent == other.continent
            && (self.country.is_none() || self.country == other.country)
            && (self.subdivision.is_none() || self.subdivision == other.subdivision)
    }
}

impl FromStr for GeoCode {
    type Err = GeoCodeError;
    fn from_str(text: &str) -> Result<Self, GeoCodeError> {
        let upper = text.to_ascii_uppercase();
        let mut parts = upper.split('-');
        let continent = parts.next().filter(|c| CONTINENTS.contains(c)).ok_or(GeoCodeError::Continent)?;
        let country = parts.next().map(|c| two_letters(c).ok_or(GeoCodeError::Country)).transpose()?;
        let subdivision = parts.next().map(|s| up_to_three(s).ok_or(GeoCodeError::Subdivision)).transpose()?;
        match parts.next() {
            Some(_) => Err(GeoCodeError::Parts),
            None => {
                Ok(GeoCode { continent: two_letters(continent).ok_or(GeoCodeError::Continent)?, country, subdivision })
            }
        }
    }
}

fn two_letters(text: &str) -> Option<[u8; 2]> {
    <[u8; 2]>::try_from(text.as_bytes()).ok().filter(|b| b.iter().all(u8::is_ascii_alphabetic))
}

fn up_to_three(text: &str) -> Option<[u8; 3]> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 3 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let mut out = [0; 3];
    out[..bytes.len()].copy_from_slice(bytes);
    Some(out)
}

impl fmt::Display for GeoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, b: &[u8]| {
            b.iter().filter(|b| **b != 0).try_for_each(|b| write!(f, "{}", *b as char))
        };
        part(f, &self.continent)?;
        if let Some(country) = &self.country {
            write!(f, "-")?;
            part(f, country)?;
        }
        if let Some(subdivision) = &self.subdivision {
            write!(f, "-")?;
            part(f, subdivision)?;
        }
        Ok(())
    }
}

impl fmt::Debug for GeoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for GeoCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GeoCodeError::Continent => "the continent is one of AF AN AS EU NA OC SA",
            GeoCodeError::Country => "the country is a two-letter ISO 3166-1 code",
            GeoCodeError::Subdivision => "the subdivision is one to three letters or digits (ISO 3166-2)",
            GeoCodeError::Parts => "the form is CONTINENT[-COUNTRY[-SUBDIVISION]]",
        })
    }
}

impl std::error::Error for GeoCodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_and_written_back() {
        for text in ["EU", "EU-DE", "NA-US-CA", "EU-GB-ENG", "AS-JP-13"] {
            assert_eq!(text.parse::<GeoCode>().unwrap().to_string(), text);
        }
        assert_eq!("eu-de".parse::<GeoCode>().unwrap().to_string(), "EU-DE");
        assert_eq!("XX".parse::<GeoCode>(), Err(GeoCodeError::Continent));
        assert_eq!("EU-D".parse::<GeoCode>(), Err(GeoCodeError::Country));
        assert_eq!("EU-DE-ABCD".parse::<GeoCode>(), Err(GeoCodeError::Subdivision));
        assert_eq!("EU-DE-B-C".parse::<GeoCode>(), Err(GeoCodeError::Parts));
    }

    #[test]
    fn a_wider_code_holds_a_narrower_one_only() {
        let code = |t: &str| t.parse::<GeoCode>().unwrap();
        assert!(code("EU").holds(&code("EU-DE-BE")));
        assert!(code("EU-DE").holds(&code("EU-DE-BE")));
        assert!(!code("EU-DE").holds(&code("EU")));
        assert!(!code("EU-DE").holds(&code("EU-FR")));
    }
}
