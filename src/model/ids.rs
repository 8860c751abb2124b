//! Dense ids: indexes into the arrays of one [`super::Model`], never valid in another.

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
        impl $name {
            /// Its place in the array.
            pub const fn index(self) -> usize { self.0 as usize }
        }
        impl From<usize> for $name {
            fn from(index: usize) -> Self { $name(u32::try_from(index).expect("config refuses more than u32::MAX of anything")) }
        }
    )*};
}

id! {
    /// A region: index into `Model::regions`.
    RegionId;
    /// A pool: index into `Model::pools`.
    PoolId;
    /// An endpoint: index into `Model::endpoints`.
    EndpointId;
    /// A VIP: index into `Model::vips`.
    VipId;
    /// A health check: index into `Model::checks`.
    CheckId;
    /// A custom network: index into `Model::geo.networks`.
    NetworkId;
}
