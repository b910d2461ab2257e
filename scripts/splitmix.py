"""The generator of Sources/Sparse/SplitMix.swift, number by number: what the tests draw again from a seed."""

MASK = (1 << 64) - 1


class SplitMix:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def unit(self):
        return (self.next() >> 11) * 2.0 ** -53

    def below(self, limit):
        return (self.next() * limit) >> 64

    def bell(self):
        """Nearly normal: twelve uniforms less six."""
        sum = 0.0
        for _ in range(12):
            sum += self.unit()
        return sum - 6
