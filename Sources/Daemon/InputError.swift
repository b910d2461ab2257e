/// What is wrong with a file that a person has named: a command says it, without a trace, and ends with 1.
public protocol InputError: Error, CustomStringConvertible {}
