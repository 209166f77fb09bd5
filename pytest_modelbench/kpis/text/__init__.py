"""Generated text: how good it is, how near to the teacher's, what is wrong with it, and how soon it comes."""
