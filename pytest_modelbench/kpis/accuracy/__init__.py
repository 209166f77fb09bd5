"""How much of the targets a model gets right, alone and against its teacher."""
