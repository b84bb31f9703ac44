//! Emergency numbers by country, as data: from the short-number metadata of libphonenumber that the `phonenumber`
//! crate ships, version 9.0.33. An operator's own list (`[numbers] emergency`) replaces it.

/// The emergency numbers, digits only, of the country with this ISO 3166 code of two letters in any case; none
/// where they are not known. All are short codes.
pub fn emergency_numbers(country: &str) -> impl Iterator<Item = &'static str> {
    let wanted = country.to_ascii_uppercase();
    let found = NUMBERS.iter().find(|(_, countries)| countries.split(' ').any(|country| country == wanted));
    found.into_iter().flat_map(|(numbers, _)| numbers.split(' '))
}

/// Numbers and the countries that have them.
const NUMBERS: &[(&str, &str)] = &[
    ("911", "AI AS BM FM GD GU KY MH MP PA PR PW TV VI"),
    ("999", "FK IM MO NU QA SB SC SD SS SZ UG"),
    ("112", "AX FI GL IS KW MT RO ST VU"),
    ("911 999", "AG LC MS SH TC VC VG"),
    ("112 911", "BQ CA CR CW DO NL US"),
    ("15 17 18", "GF GP MF ML PF PM WF"),
    ("17 18", "BF DJ KM MR SN TD"),
    ("101 102 103 112", "AZ BY KZ TJ UA"),
    ("112 999", "GB GG IE JE MY"),
    ("110 112 113", "BT NO SJ SY"),
    ("15 17 18 112", "FR MC MQ RE"),
    ("199", "HN MM NG"),
    ("000 112", "CC CX"),
    ("101 102 103", "AM KG"),
    ("110 112", "DE EE"),
    ("112 113", "LU SI"),
    ("112 113 115 118", "IT VA"),
    ("112 114", "DK FO"),
    ("112 115", "PT TL"),
    ("112 117 118 144", "CH LI"),
    ("112 192 193 194", "MK XK"),
    ("112 997 998 999", "AE PL"),
    ("128 911", "PY UY"),
    ("15 19 177", "EH MA"),
    ("333 911 999", "DM KN"),
    ("000 106 112", "AU"),
    ("000 110 111", "PG"),
    ("01 02 03", "TM"),
    ("01 02 03 001 002 003 050", "UZ"),
    ("01 02 03 011 022 033 101 102 103 112", "LT"),
    ("01 02 03 101 102 103 112", "RU"),
    ("01 02 03 110 112 113", "LV"),
    ("011 022 033 111 112 113 122", "GE"),
    ("019 999", "SL"),
    ("060 065 066 068 080 911", "MX"),
    ("085 088 112", "ES"),
    ("100 101 102", "PS"),
    ("100 101 102 103 105", "MN"),
    ("100 101 102 103 112", "NP"),
    ("100 101 102 108 112 1298 2611", "IN"),
    ("100 101 102 112", "IL"),
    ("100 101 102 199 999", "BD"),
    ("100 101 107 911", "AR"),
    ("100 101 112", "BE"),
    ("100 102 119", "AF"),
    ("100 104 115 122", "IQ"),
    ("100 112 166 199", "GR"),
    ("100 911", "AW"),
    ("101 102 112 911", "EC"),
    ("10111", "NA"),
    ("102 118 119", "MV"),
    ("104 105 106", "CU"),
    ("104 105 107 112", "HU"),
    ("105 116 117", "PE"),
    ("110 111 112", "NR"),
    ("110 111 112 114 115 999", "TZ"),
    ("110 111 170 180", "CI"),
    ("110 112 113 118 119", "ID"),
    ("110 112 115 125 911", "IR"),
    ("110 112 116 118", "AD"),
    ("110 112 116 118 119", "LK"),
    ("110 112 119", "TW"),
    ("110 112 119 911", "JM"),
    ("110 112 155", "TR"),
    ("110 118 119", "BO"),
    ("110 119", "JP"),
    ("110 119 120", "CN"),
    ("110 120 123", "GT"),
    ("111", "NZ"),
    ("111 112", "RW"),
    ("112 10111 10177", "ZA"),
    ("112 113 114 116", "ER"),
    ("112 113 115", "AO"),
    ("112 113 117", "BI"),
    ("112 114 116 117 118", "BJ"),
    ("112 114 999", "KE"),
    ("112 115 117", "LS"),
    ("112 117 911", "PH"),
    ("112 119", "KR"),
    ("112 119 123 132 156", "CO"),
    ("112 119 819", "KP"),
    ("112 122 123 124", "ME"),
    ("112 122 133 144", "AT"),
    ("112 127 128 129", "AL"),
    ("112 128 190 192 193 911", "BR"),
    ("112 140 175 999", "LB"),
    ("112 150 151 152 153 154 155 156 157 158 159", "CZ"),
    ("112 150 155 158", "SK"),
    ("112 150 160 166", "BG"),
    ("112 171 911", "VE"),
    ("112 190 199", "GI"),
    ("112 191 192 197 911", "JO"),
    ("112 199", "CY"),
    ("112 90000", "SE"),
    ("112 901 902 903", "MD"),
    ("112 911 997 999", "SA"),
    ("112 991 993 999", "ZM"),
    ("112 992 999", "HK"),
    ("112 993 994 995 999", "ZW"),
    ("113 114 115", "VN"),
    ("113 114 118 177 188", "CD"),
    ("113 115 118", "SM"),
    ("113 117 118", "GW"),
    ("114 115 995 999", "MU"),
    ("114 118", "HT"),
    ("115", "SR"),
    ("115 118 120 128", "NI"),
    ("117 118", "CG"),
    ("117 118 119 666", "KH"),
    ("117 118 1220", "CF"),
    ("117 118 171 172 177", "TG"),
    ("117 119 197 198", "MZ"),
    ("122 123 124", "BA"),
    ("122 123 180", "EG"),
    ("13 17 113 117", "CM"),
    ("130 131 132", "CV"),
    ("131 132 133 911", "CL"),
    ("14 17 112", "DZ"),
    ("1444 9999", "OM"),
    ("15 112", "YT"),
    ("15 16 112 115 1122", "PK"),
    ("15 16 17 18", "NC"),
    ("15 17 18 118", "NE"),
    ("16 17 18 116 117 118", "GM"),
    ("17 18 117 118", "MG"),
    ("18", "BL"),
    ("18 1300 1730", "GA"),
    ("190 191 193", "LY"),
    ("190 191 195", "LA"),
    ("190 197 198", "TN"),
    ("191 192 193 999", "GH"),
    ("191 194 195 199", "YE"),
    ("191 199 1669", "TH"),
    ("192 193 194 195 992 993 994", "KI"),
    ("199 997 998 999", "MW"),
    ("199 999", "BH"),
    ("211 311 511 911", "BB"),
    ("355 911", "LR"),
    ("555 888 999", "SO"),
    ("90 911 990", "BZ"),
    ("91 92 93 911 939 991 997", "ET"),
    ("911 912 913", "GY"),
    ("911 913", "SV"),
    ("911 917", "FJ"),
    ("911 919", "BS"),
    ("911 922 933 999", "TO"),
    ("911 955 977", "NF"),
    ("911 994 995 996 999", "WS"),
    ("911 997 998 999", "BW"),
    ("919", "SX"),
    ("92 93 94 112", "RS"),
    ("93 94 112 192 193 194", "HR"),
    ("990 999", "TT"),
    ("991 993 995", "BN"),
    ("993 995 999", "SG"),
    ("996 998 999", "CK"),
];

#[cfg(test)]
mod tests {
    use super::super::{Number, SHORT_DIGITS, calling_code};
    use super::*;

    fn of(country: &str) -> Vec<&'static str> {
        emergency_numbers(country).collect()
    }

    #[test]
    fn countries_have_their_emergency_numbers_gen_60() {
        assert_eq!((of("DE"), of("de"), of("GB")), (vec!["110", "112"], vec!["110", "112"], vec!["112", "999"]));
        assert!(of("US").contains(&"911") && of("ZZ").is_empty() && of("").is_empty());
    }

    #[test]
    fn all_of_them_are_short_codes_of_countries_that_are_known() {
        for (numbers, countries) in NUMBERS {
            for number in numbers.split(' ') {
                assert!((2..=SHORT_DIGITS).contains(&number.len()), "{number}");
                assert_eq!(Number::normalise(number, "49").unwrap().as_str(), number);
            }
            let unknown: Vec<_> = countries.split(' ').filter(|country| calling_code(country).is_none()).collect();
            assert!(unknown.is_empty(), "{unknown:?}");
        }
    }
}
