"""Whether profiles are good: experiments on people, two profiles compared, advice about photos."""
