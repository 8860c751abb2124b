//! Where clients are: databases, places, distances, and the prefix table with its exact scope.
