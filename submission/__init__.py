"""The competition entry: a checkpoint and a challenges file in, a checked submission.json out."""
