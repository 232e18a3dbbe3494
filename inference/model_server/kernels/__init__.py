"""The small operations of a decoder's step; `twins` has them in plain torch."""
