//! Countries by their codes of two letters (ISO 3166-1 alpha-2).

use std::fmt;

/// How many codes two letters make: the length of a table that has a place for each.
pub const CODES: usize = 26 * 26;

/// The codes that are assigned, in order, and `XK`, by which geographic databases know Kosovo.
const ASSIGNED: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR \
    IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM \
    MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT \
    PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// A code, assigned or not: databases know some that the standard does not, such as `EU`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two capital letters.
    #[must_use]
    pub fn new(code: &str) -> Option<Country> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Country(letters))
    }

    /// Whether there is such a country.
    #[must_use]
    pub fn is_assigned(self) -> bool {
        ASSIGNED
            .as_bytes()
            .split(|byte| *byte == b' ')
            .any(|code| code == self.0)
    }

    /// Its place in a table of [`CODES`].
    #[must_use]
    pub fn index(self) -> usize {
        let letter = |nth: usize| usize::from(self.0[nth] - b'A');
        letter(0) * 26 + letter(1)
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Letters of ASCII are UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_capital_letters_are_a_code_and_the_table_knows_which_are_assigned() {
        for (code, assigned) in [
            ("NL", true),
            ("GB", true),
            ("XK", true),
            ("UK", false),
            ("EU", false),
        ] {
            let country = Country::new(code).expect(code);
            assert_eq!((country.as_str(), country.is_assigned()), (code, assigned));
        }
        for text in ["", "N", "nl", "Nl", "NLD", "N1", "\u{d6}"] {
            assert_eq!(Country::new(text), None, "{text:?}");
        }
        // 249 of the standard, and Kosovo.
        assert_eq!(ASSIGNED.split(' ').count(), 250);
        assert!(ASSIGNED.split(' ').is_sorted());
    }

    #[test]
    fn every_code_has_a_place_of_its_own() {
        let letters = || 'A'..='Z';
        let codes = letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
        for (place, code) in codes.enumerate() {
            assert_eq!(Country::new(&code).map(Country::index), Some(place), "{code}");
        }
        assert_eq!(Country::new("ZZ").map(Country::index), Some(CODES - 1));
    }
}
