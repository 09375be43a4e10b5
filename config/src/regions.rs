//! Cloud region names to coordinates.
//!
//! The providers publish cities, or less; the points below are those, to two decimals (about a kilometre), which is more
//! than a first guess of round-trip times needs. No name means different places at two providers, so one table does.

use crate::geography::Coordinates;

/// Where a region of AWS, Azure or Google is. Case and spaces do not matter: `West Europe` is `westeurope`.
pub fn coordinates(name: &str) -> Option<Coordinates> {
    let name = name.to_ascii_lowercase().replace(' ', "");
    regions().find(|(known, ..)| *known == name).map(|(_, lat, lon)| Coordinates { lat: *lat, lon: *lon })
}

/// Every region's name.
pub fn names() -> impl Iterator<Item = &'static str> {
    regions().map(|(name, ..)| *name)
}

type Region = (&'static str, f64, f64);

fn regions() -> impl Iterator<Item = &'static Region> {
    AWS.iter().chain(AZURE).chain(GOOGLE)
}

#[rustfmt::skip]
const AWS: &[Region] = &[
    ("af-south-1", -33.93, 18.42),
    ("ap-east-1", 22.32, 114.17),
    ("ap-east-2", 25.03, 121.57),
    ("ap-northeast-1", 35.68, 139.69),
    ("ap-northeast-2", 37.57, 126.98),
    ("ap-northeast-3", 34.69, 135.50),
    ("ap-south-1", 19.08, 72.88),
    ("ap-south-2", 17.39, 78.49),
    ("ap-southeast-1", 1.35, 103.82),
    ("ap-southeast-2", -33.87, 151.21),
    ("ap-southeast-3", -6.21, 106.85),
    ("ap-southeast-4", -37.81, 144.96),
    ("ap-southeast-5", 3.15, 101.69),
    ("ap-southeast-6", -36.85, 174.76),
    ("ap-southeast-7", 13.76, 100.50),
    ("ca-central-1", 45.50, -73.57),
    ("ca-west-1", 51.05, -114.07),
    ("cn-north-1", 39.90, 116.41),
    ("cn-northwest-1", 37.51, 105.19),
    ("eu-central-1", 50.11, 8.68),
    ("eu-central-2", 47.38, 8.54),
    ("eu-north-1", 59.33, 18.07),
    ("eu-south-1", 45.46, 9.19),
    ("eu-south-2", 41.65, -0.89),
    ("eu-west-1", 53.35, -6.26),
    ("eu-west-2", 51.51, -0.13),
    ("eu-west-3", 48.86, 2.35),
    ("eusc-de-east-1", 52.40, 13.07),
    ("il-central-1", 32.09, 34.78),
    ("me-central-1", 24.45, 54.38),
    ("me-south-1", 26.07, 50.56),
    ("mx-central-1", 20.59, -100.39),
    ("sa-east-1", -23.55, -46.63),
    ("us-east-1", 38.95, -77.45),
    ("us-east-2", 39.96, -83.00),
    ("us-gov-east-1", 39.96, -83.00),
    ("us-gov-west-1", 45.84, -119.70),
    ("us-west-1", 37.35, -121.96),
    ("us-west-2", 45.84, -119.70),
];

#[rustfmt::skip]
const AZURE: &[Region] = &[
    ("australiacentral", -35.28, 149.13),
    ("australiacentral2", -35.28, 149.13),
    ("australiaeast", -33.87, 151.21),
    ("australiasoutheast", -37.81, 144.96),
    ("austriaeast", 48.21, 16.37),
    ("belgiumcentral", 50.85, 4.35),
    ("brazilsouth", -23.55, -46.63),
    ("brazilsoutheast", -22.91, -43.17),
    ("canadacentral", 43.65, -79.38),
    ("canadaeast", 46.82, -71.22),
    ("centralindia", 18.52, 73.86),
    ("centralus", 41.59, -93.62),
    ("chilecentral", -33.45, -70.67),
    ("chinaeast", 31.23, 121.47),
    ("chinaeast2", 31.23, 121.47),
    ("chinaeast3", 31.23, 121.47),
    ("chinanorth", 39.90, 116.41),
    ("chinanorth2", 39.90, 116.41),
    ("chinanorth3", 39.90, 116.41),
    ("denmarkeast", 55.68, 12.57),
    ("eastasia", 22.32, 114.17),
    ("eastus", 37.37, -79.82),
    ("eastus2", 36.67, -78.39),
    ("francecentral", 48.86, 2.35),
    ("francesouth", 43.30, 5.37),
    ("germanynorth", 53.08, 8.80),
    ("germanywestcentral", 50.11, 8.68),
    ("indonesiacentral", -6.21, 106.85),
    ("israelcentral", 32.09, 34.78),
    ("italynorth", 45.46, 9.19),
    ("japaneast", 35.68, 139.69),
    ("japanwest", 34.69, 135.50),
    ("jioindiacentral", 21.15, 79.09),
    ("jioindiawest", 22.47, 70.06),
    ("koreacentral", 37.57, 126.98),
    ("koreasouth", 35.18, 129.08),
    ("malaysiawest", 3.15, 101.69),
    ("mexicocentral", 20.59, -100.39),
    ("newzealandnorth", -36.85, 174.76),
    ("northcentralus", 41.88, -87.63),
    ("northeurope", 53.35, -6.26),
    ("norwayeast", 59.91, 10.75),
    ("norwaywest", 58.97, 5.73),
    ("polandcentral", 52.23, 21.01),
    ("qatarcentral", 25.29, 51.53),
    ("southafricanorth", -26.20, 28.05),
    ("southafricawest", -33.93, 18.42),
    ("southcentralus", 29.42, -98.49),
    ("southeastasia", 1.35, 103.82),
    ("southindia", 13.08, 80.27),
    ("spaincentral", 40.42, -3.70),
    ("swedencentral", 60.67, 17.14),
    ("swedensouth", 55.60, 13.00),
    ("switzerlandnorth", 47.38, 8.54),
    ("switzerlandwest", 46.20, 6.14),
    ("uaecentral", 24.45, 54.38),
    ("uaenorth", 25.20, 55.27),
    ("uksouth", 51.51, -0.13),
    ("ukwest", 51.48, -3.18),
    ("usdodcentral", 41.59, -93.62),
    ("usdodeast", 36.67, -78.39),
    ("usgovarizona", 33.45, -112.07),
    ("usgovtexas", 29.42, -98.49),
    ("usgovvirginia", 37.37, -79.82),
    ("westcentralus", 41.14, -104.82),
    ("westeurope", 52.37, 4.90),
    ("westindia", 19.08, 72.88),
    ("westus", 37.78, -122.42),
    ("westus2", 47.23, -119.85),
    ("westus3", 33.45, -112.07),
];

#[rustfmt::skip]
const GOOGLE: &[Region] = &[
    ("africa-south1", -26.20, 28.05),
    ("asia-east1", 24.05, 120.52),
    ("asia-east2", 22.32, 114.17),
    ("asia-northeast1", 35.68, 139.69),
    ("asia-northeast2", 34.69, 135.50),
    ("asia-northeast3", 37.57, 126.98),
    ("asia-south1", 19.08, 72.88),
    ("asia-south2", 28.61, 77.21),
    ("asia-southeast1", 1.35, 103.82),
    ("asia-southeast2", -6.21, 106.85),
    ("asia-southeast3", 13.76, 100.50),
    ("australia-southeast1", -33.87, 151.21),
    ("australia-southeast2", -37.81, 144.96),
    ("europe-central2", 52.23, 21.01),
    ("europe-north1", 60.57, 27.19),
    ("europe-north2", 59.33, 18.07),
    ("europe-southwest1", 40.42, -3.70),
    ("europe-west1", 50.45, 3.82),
    ("europe-west10", 52.52, 13.40),
    ("europe-west12", 45.07, 7.69),
    ("europe-west2", 51.51, -0.13),
    ("europe-west3", 50.11, 8.68),
    ("europe-west4", 53.44, 6.83),
    ("europe-west6", 47.38, 8.54),
    ("europe-west8", 45.46, 9.19),
    ("europe-west9", 48.86, 2.35),
    ("me-central1", 25.29, 51.53),
    ("me-central2", 26.43, 50.10),
    ("me-west1", 32.09, 34.78),
    ("northamerica-northeast1", 45.50, -73.57),
    ("northamerica-northeast2", 43.65, -79.38),
    ("northamerica-south1", 20.59, -100.39),
    ("southamerica-east1", -23.55, -46.63),
    ("southamerica-west1", -33.45, -70.67),
    ("us-central1", 41.26, -95.86),
    ("us-east1", 33.20, -80.01),
    ("us-east4", 39.04, -77.49),
    ("us-east5", 39.96, -83.00),
    ("us-south1", 32.78, -96.80),
    ("us-west1", 45.60, -121.18),
    ("us-west2", 34.05, -118.24),
    ("us-west3", 40.76, -111.89),
    ("us-west4", 36.17, -115.14),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_on_the_globe() {
        let mut seen = HashSet::new();
        for (name, lat, lon) in regions() {
            assert!(seen.insert(name), "{name} twice");
            assert!(lat.abs() <= 90.0 && lon.abs() <= 180.0, "{name}");
        }
    }

    #[test]
    fn regions_of_one_city_agree_across_providers() {
        let frankfurt = coordinates("eu-central-1").unwrap();
        for same in ["germanywestcentral", "Germany West Central", "europe-west3"] {
            assert_eq!(coordinates(same), Some(frankfurt), "{same}");
        }
        let [virginia, ireland] = ["us-east-1", "northeurope"].map(|name| coordinates(name).unwrap());
        assert!((5000.0..6000.0).contains(&virginia.distance_km(ireland)));
        assert_eq!(coordinates("us-esat-1"), None);
    }
}
