//! A list with a bound, on the stack: a decision allocates nothing.

use std::ops::Deref;

/// At most `N` values. What comes after them is not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few<T, const N: usize> {
    values: [T; N],
    length: usize,
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Few {
            values: [T::default(); N],
            length: 0,
        }
    }
}

impl<T, const N: usize> Few<T, N> {
    /// Appends a value, unless the list is full.
    pub(crate) fn push(&mut self, value: T) {
        if let Some(place) = self.values.get_mut(self.length) {
            *place = value;
            self.length += 1;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.length == N
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.values[..self.length]
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.length]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for Few<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_takes_no_more() {
        let mut list: Few<u8, 2> = Few::default();
        assert!(list.is_empty());
        for value in 1..=3 {
            list.push(value);
        }
        assert_eq!((&*list, list.is_full()), ([1, 2].as_slice(), true));
    }
}
