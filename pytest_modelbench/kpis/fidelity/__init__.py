"""How close the student's answers are to the teacher's."""
