"""What all command lines share: the parser, the list of commands, completion in a shell."""
