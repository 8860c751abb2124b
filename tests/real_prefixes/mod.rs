//! Real prefixes of universities, registries and operators, and where `geo/country.mmdb` has them: for tests that ask as
//! clients of many countries would. All are inside one network of the database.

/// Prefix and place.
pub const REAL_PREFIXES: &[(&str, &str)] = &[
    ("81.2.69.0/24", "EU-GB"),
    ("193.0.6.0/24", "EU-NL"),
    ("129.132.0.0/16", "EU-CH"),
    ("141.76.0.0/16", "EU-DE"),
    ("129.104.0.0/16", "EU-FR"),
    ("147.102.0.0/16", "EU-GR"),
    ("8.8.8.0/24", "NA-US"),
    ("128.112.0.0/16", "NA-US"),
    ("142.150.0.0/16", "NA-CA"),
    ("200.160.2.0/24", "SA-BR"),
    ("143.107.0.0/16", "SA-BR"),
    ("133.11.0.0/16", "AS-JP"),
    ("202.120.0.0/16", "AS-CN"),
    ("143.248.0.0/16", "AS-KR"),
    ("14.139.0.0/16", "AS-IN"),
    ("140.112.0.0/16", "AS-TW"),
    ("128.250.0.0/16", "OC-AU"),
    ("130.216.0.0/16", "OC-NZ"),
    ("196.216.2.0/24", "AF-ZA"),
    ("137.158.0.0/16", "AF-ZA"),
    ("2001:67c:2e8::/48", "EU-NL"),
    ("2001:638::/32", "EU-DE"),
    ("2001:4860::/32", "NA-US"),
    ("2001:1280::/32", "SA-BR"),
    ("2001:4340::/32", "AF-DZ"),
    ("2400:3200::/32", "AS-CN"),
];
