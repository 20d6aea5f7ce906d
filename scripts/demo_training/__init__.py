"""What `train_demo_models.py` is made of: pictures, an autoencoder, and the three trainings."""
